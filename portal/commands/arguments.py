"""Arguments that several commands take."""

from uuid import UUID

from ontology.ids import decode_id
from portal.child_process import StartError


def read_organisation(text: str) -> UUID:
    """The UUID of an organisation's id; whether there is such an organisation is not asked here.

    Raises:
        StartError: it is no id of a group.
    """
    try:
        return decode_id(text.strip(), "group")[1]
    except ValueError as error:
        raise StartError(f"the organisation's id is wrong: {error}") from None
