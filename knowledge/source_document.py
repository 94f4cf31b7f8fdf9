"""One document as its source has it, before it is stored: what every reader of sources hands on."""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document as its source has it. ``details`` go into the item's metadata."""

    kind: str
    external_id: str
    title: str
    text: str
    url: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def content_hash(self) -> str:
        """Equal exactly when nothing about the document has changed."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
