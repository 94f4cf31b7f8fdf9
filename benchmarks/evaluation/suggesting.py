"""Suggestions, measured: how often the next call of a session is among the first that are suggested.

Sessions come from a simulator whose structure is known: organisations that each prefer some workflows, do one of them
in an order of their own, leave out steps, make calls that belong to nothing, and turn to another workflow half-way.
What is learnt from some sessions is asked about others, of the same organisations and of new ones, which have the
patterns of the others alone. `structure` is the simulator's own best guess: nobody can do better.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np

from api.routes import openapi_document
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.own_sets import ROOT
from knowledge.endpoint_texts import endpoint_texts
from knowledge.next_operations import predict_next
from knowledge.openapi_documents import read_operations
from ontology.usage_patterns import ORGANISATIONS_MIN, Follower, Operations, extend, list_patterns

RESULTS = ROOT / "benchmarks" / "results" / "suggestions.json"
FIRST = (1, 3)
BASELINES = ("popularity", "embedding only")
WORKFLOWS: tuple[str, ...] = (
    "createEntity createConnection listConnections getEntity updateEntity",
    "listEntities getEntity createConnection getConnection listNeighbours",
    "listEvents aggregateEvents exportEvents getUsage",
    "listApiKeys getApiKey rotateApiKey getApiKeyRotation revokeApiKey",
    "listKeyUsage getApiKeyUsage getApiKey updateApiKey",
    "createGroup createApplication createApiKey createInvitation listInvitations",
    "changeEntities listEntities traverseConnections listConnections",
    "putDocuments listDocuments getDocument searchKnowledge",
    "searchKnowledge askKnowledge troubleshoot listEvents",
    "listEntities getEntity deleteEntity restoreEntity getEntity",
    "listGroups getGroup moveGroup getGroupPath getGroupStatistics",
    "listPeople getPerson listMemberships removePerson listPeople",
    "getQuota getUsage listKeyUsage getApiKey",
    "createEvent listEvents aggregateEvents",
    "getEntity updateEntity listConnections updateConnection getConnection",
)


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a session, and what the simulator would have guessed, the most probable first."""

    operation: str
    guesses: tuple[str, ...]


Session = list[Step]


@dataclass(frozen=True)
class Simulator:
    """Everything that is left to chance, as shares of steps."""

    organisations: int = 40
    new_organisations: int = 10
    sessions: int = 12
    held_out: int = 6
    skipped: float = 0.08
    unrelated: float = 0.08
    turns: float = 0.08

    def run(self, seed: int) -> "Simulated":
        """The same for the same seed."""
        random = Random(seed)
        known = [self._found(random) for _ in range(self.organisations)]
        new = [self._found(random) for _ in range(self.new_organisations)]
        return Simulated(
            learnt=[[self._walk(random, habits) for _ in range(self.sessions)] for habits in known],
            held_out=[[self._walk(random, habits) for _ in range(self.held_out)] for habits in known],
            new=[[self._walk(random, habits) for _ in range(self.held_out)] for habits in new],
        )

    def _found(self, random: Random) -> list[tuple[list[str], float]]:
        """An organisation's workflows with how often it does each; one in its own order."""
        chosen = random.sample(WORKFLOWS, random.randint(3, 6))
        flows = [(flow.split(), 1.0 / place) for place, flow in enumerate(chosen, 1)]
        own = flows[-1][0]
        place = random.randrange(len(own) - 1)
        own[place], own[place + 1] = own[place + 1], own[place]
        return flows

    def _walk(self, random: Random, habits: list[tuple[list[str], float]]) -> Session:
        steps: Session = []
        starts = tuple(flow[0] for flow, _ in habits)
        for _ in range(random.randint(1, 3)):
            (flow,) = random.choices([flow for flow, _ in habits], [weight for _, weight in habits])
            for place, operation in enumerate(flow):
                if random.random() < self.skipped:
                    continue
                if random.random() < self.unrelated:
                    steps.append(Step(random.choice(random.choice(WORKFLOWS).split()), (operation,)))
                steps.append(Step(operation, (operation,) if place else starts))
                if random.random() < self.turns:
                    break
        return steps


@dataclass(frozen=True)
class Simulated:
    """Sessions by organisation: to learn from, of the same organisations to ask about, and of new ones."""

    learnt: list[list[Session]]
    held_out: list[list[Session]]
    new: list[list[Session]]


@dataclass
class Counts:
    """Patterns in memory, counted and shared by the product's own rules."""

    own: list[Counter[tuple[Operations, str]]] = field(default_factory=list[Counter[tuple[Operations, str]]])
    shared: Counter[tuple[Operations, str]] = field(default_factory=Counter[tuple[Operations, str]])

    @classmethod
    def of(cls, organisations: Sequence[Sequence[Session]]) -> "Counts":
        counts = cls()
        for sessions in organisations:
            counts.own.append(Counter(pattern for session in sessions for pattern in _list_all(session)))
        shown = Counter(pattern for own in counts.own for pattern in own)
        counts.shared = Counter({pattern: times for pattern, times in shown.items() if times >= ORGANISATIONS_MIN})
        return counts

    def followers(self, organisation: int | None, recent: Operations, *, before_max: int = 9) -> list[Follower]:
        """As the database gives them; of a new organisation the shared ones alone."""
        endings = {recent[start:] for start in range(len(recent) + 1) if len(recent) - start <= before_max}
        own = self.own[organisation] if organisation is not None else Counter[tuple[Operations, str]]()
        return [
            Follower(after, operation, times, is_own)
            for counter, is_own in ((own, True), (self.shared, False))
            for (after, operation), times in counter.items()
            if after in endings
        ]


def _list_all(session: Session) -> Iterator[tuple[Operations, str]]:
    recent: Operations = ()
    for step in session:
        for after in list_patterns(recent, step.operation):
            yield after, step.operation
        recent = extend(recent, step.operation)


Guess = Callable[[int | None, Operations, Step], Sequence[str]]


def measure(simulated: Simulated, embedder: CachedEmbedder) -> dict[str, Any]:
    """Hits among the first one and the first three, by whose sessions they are and by what made the guess."""
    counts = Counts.of(simulated.learnt)
    near = rank_by_meaning(embedder)

    def by_context(before_max: int) -> Guess:
        def guess(organisation: int | None, recent: Operations, step: Step) -> Sequence[str]:
            known = counts.followers(organisation, recent, before_max=before_max)
            return [each.operation for each in predict_next(recent, known)]

        return guess

    guesses: dict[str, Guess] = {
        "model": by_context(9),
        "last call only": by_context(1),
        "popularity": by_context(0),
        "embedding only": lambda organisation, recent, step: near(recent),
        "structure": lambda organisation, recent, step: step.guesses,
    }
    asked = {
        "same organisations": list(enumerate(simulated.held_out)),
        "new organisations": [(None, sessions) for sessions in simulated.new],
    }
    return {
        whose: {name: _score(guess, organisations) for name, guess in guesses.items()}
        for whose, organisations in asked.items()
    }


def _score(guess: Guess, organisations: Sequence[tuple[int | None, list[Session]]]) -> dict[str, float]:
    """Of every call that has one before it and differs from that."""
    hits: Counter[int] = Counter()
    asked = 0
    for organisation, sessions in organisations:
        for session in sessions:
            recent: Operations = ()
            for step in session:
                if recent and step.operation != recent[-1]:
                    asked += 1
                    ranked = [name for name in guess(organisation, recent, step) if name != recent[-1]]
                    hits.update({first: step.operation in ranked[:first] for first in FIRST})
                recent = extend(recent, step.operation)
    return {"calls": asked, **{f"hit@{first}": round(hits[first] / asked, 3) for first in FIRST}}


def rank_by_meaning(embedder: CachedEmbedder) -> Callable[[Operations], list[str]]:
    """Operations by the cosine of what they do to what the last ones do, those left out."""
    sources = list(read_operations(openapi_document("http://127.0.0.1:8000")))
    names = [source.external_id for source in sources]
    texts = [endpoint_texts(source.title, source.details) for source in sources]
    flat = [text for several in texts for text in several]
    encoded = iter(embedder.embed_passages(flat, lambda: None))
    vectors = np.asarray([np.mean([next(encoded) for _ in several], axis=0) for several in texts])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def rank(recent: Operations) -> list[str]:
        about = np.mean([vectors[names.index(name)] for name in recent], axis=0)
        return [names[place] for place in np.argsort(-(vectors @ about)) if names[place] not in recent]

    return rank


def print_figures(measured: dict[str, Any]) -> None:
    for whose, rows in measured.items():
        calls = next(iter(rows.values()))["calls"]
        print(f"suggest, {whose} ({calls:.0f} calls)")
        for name, figures in rows.items():
            print(f"  {name:<16} hit@1 {figures['hit@1']:.3f}  hit@3 {figures['hit@3']:.3f}")


def write_figures(measured: dict[str, Any]) -> None:
    command = "make eval ARGS=suggest"
    recorded = {"date": datetime.now(UTC).date().isoformat(), "command": command, "figures": measured}
    RESULTS.write_text(json.dumps(recorded, indent=2) + "\n")
