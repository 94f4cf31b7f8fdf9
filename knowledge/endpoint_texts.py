"""An endpoint as texts to find it by: some to embed, whose vectors are averaged, and for BM25 weighted fields and all
its words.

Each vector sees another side: what the endpoint does (weight 2), what it takes (1), what it is called (1), and, where
the specification describes its tags, what it deals with (2). Without the last, dense retrieval alone came to nDCG@10
.921, .937 and .574 (toolalpaca-real, -sim, stabletoolbench); equal weights to .926, .934 and .533; the first text alone
to .890, .929 and .607, which keyword search makes up for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from knowledge.index.interface import WeightedText
from knowledge.weights import ABOUT_WEIGHT, DESCRIPTION_WEIGHT, NAME_WEIGHT, PARAMETER_WEIGHT, SYNONYM_WEIGHT
from knowledge.words import name_words, path_words, verb_synonyms

DESCRIPTION_CHARACTERS_MAX = 800


def endpoint_texts(title: str, details: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts to embed; those that stand twice count twice in their mean.

    The name of the API is in the first only: in all three it costs .03 where one API is asked.
    """
    api, name = _given(details, "api"), name_words(title)
    description = _given(details, "description")[:DESCRIPTION_CHARACTERS_MAX]
    route = path_words(_given(details, "path"))
    does = ". ".join(part for part in (": ".join(part for part in (api, name) if part), route, description) if part)
    takes = ", ".join(name_words(str(parameter)) for parameter in details.get("parameters") or ())
    about = _given(details, "about")
    return (does, does, f"{name} {takes}".strip(), name, *([f"{name}. {about}"] * 2 if about else []))


def endpoint_words(title: str, details: Mapping[str, Any]) -> str:
    """All that its specification says of it: a task often names what only a parameter or an answer speaks of."""
    does, _, takes, *_ = endpoint_texts(title, details)
    return "\n".join(part for part in (does, takes, _given(details, "reference")) if part)


def endpoint_fields(title: str, details: Mapping[str, Any]) -> Iterator[WeightedText]:
    """The texts to match by words, each with its weight."""
    operation_id = _given(details, "operationId")
    yield title, NAME_WEIGHT
    if operation_id != title and " /" not in operation_id:
        yield operation_id, NAME_WEIGHT
    yield _given(details, "api"), DESCRIPTION_WEIGHT
    yield path_words(_given(details, "path")), DESCRIPTION_WEIGHT
    yield _given(details, "description"), DESCRIPTION_WEIGHT
    yield _given(details, "about"), ABOUT_WEIGHT
    yield verb_synonyms(name_words(title)), SYNONYM_WEIGHT
    yield " ".join(map(str, details.get("parameters") or ())), PARAMETER_WEIGHT


def _given(details: Mapping[str, Any], name: str) -> str:
    return str(details.get(name) or "")
