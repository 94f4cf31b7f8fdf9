"""Items of a batch: each is read by itself, so that one that is not what it should be spoils no other."""

from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator


class UnreadableItem:
    """An item that is not what it should be; it fails alone."""

    def __init__(self, error: ValidationError) -> None:
        self.error = error


def _keep_error(item: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(item)
    except ValidationError as error:
        return UnreadableItem(error)


# Beside an item's type: what cannot be read becomes an `UnreadableItem`.
EachByItself = WrapValidator(_keep_error)
