"""Whether a caller takes the form an operation answers in (RFC 9110, section 12.5.1)."""

from functools import lru_cache

EVENT_STREAM = "text/event-stream"


@lru_cache(maxsize=256)
def accepts(header: str | None, media_type: str) -> bool:
    """Without a header everything is taken; else the most specific range that matches decides, and q=0 rules it out.

    What cannot be read as a weight counts as 1: a sloppy client still gets its answer.
    """
    if header is None or not header.strip():
        return True
    kind = media_type.partition("/")[0]
    weights: dict[str, float] = {}
    for entry in header.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        weights[name] = _weight(parameters)
    for candidate in (media_type, f"{kind}/*", "*/*"):
        if candidate in weights:
            return weights[candidate] > 0
    return False


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0


def prefers(header: str | None, media_type: str, other: str) -> bool:
    """Whether a caller names one form, takes it, and does not name the other before it."""
    named = (header or "").lower()
    if media_type not in named or not accepts(header, media_type):
        return False
    return other not in named or not accepts(header, other) or named.index(media_type) < named.index(other)
