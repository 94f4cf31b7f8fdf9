"""What can go wrong between a process and the knowledge process."""

from ontology.errors import SearchUnavailable

__all__ = ["KnowledgeFailed", "SearchUnavailable"]


class KnowledgeFailed(Exception):
    """The knowledge process answered, with an error of its own making: a bug, not an outage."""
