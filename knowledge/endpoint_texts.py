"""An endpoint as texts to find it by: three to embed, whose vectors are averaged, and weighted fields for BM25.

Each vector sees another side: what the endpoint does (weight 2), what it takes (1), and what it is called (1). Dense
retrieval alone came to nDCG@10 .921, .937 and .574 (toolalpaca-real, -sim, stabletoolbench); equal weights to .926,
.934 and .533; the first text alone to .890, .929 and .607, which keyword search makes up for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from knowledge.index.interface import WeightedText
from knowledge.weights import DESCRIPTION_WEIGHT, NAME_WEIGHT, PARAMETER_WEIGHT
from knowledge.words import name_words, path_words

DESCRIPTION_CHARACTERS_MAX = 800


def endpoint_texts(title: str, details: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts to embed; the first stands twice and so counts twice in their mean.

    The name of the API is in the first only: in all three it costs .03 where one API is asked.
    """
    api, name = _given(details, "api"), name_words(title)
    description = _given(details, "description")[:DESCRIPTION_CHARACTERS_MAX]
    route = path_words(_given(details, "path"))
    does = ". ".join(part for part in (": ".join(part for part in (api, name) if part), route, description) if part)
    takes = ", ".join(name_words(str(parameter)) for parameter in details.get("parameters") or ())
    return (does, does, f"{name} {takes}".strip(), name)


def endpoint_fields(title: str, details: Mapping[str, Any]) -> Iterator[WeightedText]:
    """The texts to match by words, each with its weight."""
    operation_id = _given(details, "operationId")
    yield title, NAME_WEIGHT
    if operation_id != title and " /" not in operation_id:
        yield operation_id, NAME_WEIGHT
    yield _given(details, "api"), DESCRIPTION_WEIGHT
    yield path_words(_given(details, "path")), DESCRIPTION_WEIGHT
    yield _given(details, "description"), DESCRIPTION_WEIGHT
    yield " ".join(map(str, details.get("parameters") or ())), PARAMETER_WEIGHT


def _given(details: Mapping[str, Any], name: str) -> str:
    return str(details.get(name) or "")
