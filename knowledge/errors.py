"""What can go wrong between a process and the knowledge process."""

from ontology.errors import SearchUnavailable

__all__ = ["IndexBuilding", "KnowledgeFailed", "SearchUnavailable"]

BUILDING_RETRY_SECONDS = 5


class IndexBuilding(SearchUnavailable):
    """The index is being filled, for the first time or after it was lost; until it is whole nothing is answered."""

    advice = "The search index is being built; everything else works. Search again after the seconds in `Retry-After`."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=BUILDING_RETRY_SECONDS)


class KnowledgeFailed(Exception):
    """The knowledge process answered, with an error of its own making: a bug, not an outage."""
