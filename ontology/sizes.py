"""How much one row may hold, and one page of rows: what a caller stores piece by piece, it can ask for at once."""

import json
from typing import Any

from ontology.errors import Flaw, InvalidRequest

# As JSON in UTF-8. Metadata is shown in long lists, in exports and beside entities, so it is kept short.
PROPERTIES_BYTES_MAX, METADATA_BYTES_MAX = 1_000_000, 64_000
PAGE_BYTES_MAX = 10_000_000


def check_size(value: dict[str, Any], location: str, bytes_max: int = METADATA_BYTES_MAX) -> None:
    """Raises: InvalidRequest: more than that would be stored, with what a patch leaves counted in."""
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > bytes_max:
        flaw = Flaw(location, f"would hold more than {bytes_max:,} bytes".replace(",", " "), "store less in one place")
        raise InvalidRequest(flaws=[flaw])
