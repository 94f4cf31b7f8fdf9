"""Checks of our own beside the tool's, loaded by it through SCHEMATHESIS_HOOKS."""

import io
import zipfile
from typing import Any

import schemathesis
from hypothesis import strategies as st

# Why a request that fits its schema may still be refused; any other reason belongs into the schema.
BEYOND_ANY_SCHEMA = {
    "invalid_cursor",
    "idempotency_key_reused",
    "unknown_type",
    "invalid_properties",
    "invalid_connection",
    "invalid_document",
}
BEYOND_JSON_SCHEMA = (
    # U+0085 is a space to Unicode and to this API, and none to the patterns of JSON Schema.
    "must have at least 1 character",
    "should match pattern '^(https?://|/)[^",
    "an integer is beyond 64 bits",
    "is beyond the range of a number",
    "holds a NUL character",
    "holds a lone surrogate",
    "lies in the past",
    "lies before `validFrom`",
    "give either `scopes` or `preset`",
    "must have `message`, `problem` or `requestId`",
    "give either `task` or `context`",
    "is no operation of this API",
    "is not a list of entity tags",
    "is the group itself or lies below it",
    "must be an origin such as",
    "does not appear to be an IPv4 or IPv6 network",
    "does not lie after `since`",
    "lies before `since`",
    "before `until`",
    "has more than 16 words",
    "cannot be taken away",
    # What counts as white space differs between languages.
    "string should match pattern '^[^@",
)
REFUSED = (400, 422)
_NAMES = st.text("abc./ü", min_size=1, max_size=12).map("{}.md".format)


def _pack(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


# Archives as they should be, of files that are mostly not.
schemathesis.openapi.media_type(
    "application/zip", st.dictionaries(_NAMES, st.binary(max_size=40), min_size=1, max_size=4).map(_pack)
)


@schemathesis.check
def is_explained(ctx: Any, response: Any, case: Any) -> None:
    """Every refused value is told with its place, and valid input is refused only for what no schema can say."""
    if response.status_code not in REFUSED:
        return
    problem = response.json()
    flaws: list[dict[str, str]] = problem["errors"]
    assert flaws, f"`{problem['code']}` names no place"
    assert all(flaw["location"] and flaw["message"] for flaw in flaws), "a flaw without a place or a message"
    if case.meta is None or not case.meta.generation.mode.is_positive or problem["code"] in BEYOND_ANY_SCHEMA:
        return
    unexpected = [flaw for flaw in flaws if not any(known in flaw["message"] for known in BEYOND_JSON_SCHEMA)]
    assert not unexpected, f"fits the schema and is refused: {unexpected}"
