"""The project's own rules: no operation without a scope, no query past the door, no setting and no event unnamed."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api.openapi_answers import list_errors
from api.operations import Operation, find_operations
from api.routes import operation_handlers
from ontology import migration
from ontology.errors import PortalError, list_error_classes
from ontology.records import GroupClosure, TenantRow
from ontology.scopes import Scope
from ontology.settings import Settings
from ontology.vocabulary import EVENT_ALIASES, EVENT_TYPES
from portal.child_process import PROJECT_DIR
from tests.program import Program

PACKAGES = ("ontology", "knowledge", "api", "worker", "portal")
OPERATIONS = find_operations(operation_handlers)

# Operations that any valid key may call.
WITHOUT_SCOPE = {"whoami", "getOntology", "listTypes", "getFeatures"}

# Statements on rows of tenants that do not begin at `visible_to` or `reach`, and why they need not: most have no actor
# yet or none at all, and are bounded by what their transaction states.
WITHOUT_ACTOR = {
    "ontology.accounts.verify_password": "no actor yet; the transaction states the e-mail address",
    "ontology.accounts.find_session": "no actor yet; the transaction states the session's digest",
    "ontology.accounts.find_account": "no actor yet; the transaction states the e-mail address",
    "ontology.accounts._list_people": "no actor yet; the transaction states the account",
    "ontology.accounts._find_place": "no actor yet; the organisation and group of a person who was found",
    "ontology.accounts.switch_session": "a person of the signed-in account, in another organisation",
    "ontology.accounts.close_sessions_of": "the sessions of a person who was found within reach, or of an account",
    "ontology.invitations.find_invitation": "no actor yet; the transaction states the code's digest",
    "ontology.credentials._bind_to_person": "no actor yet; the person a found key acts as",
    "ontology.accounts.close_session": "the session of the token that is handed in",
    "ontology.accounts.forget_expired_sessions": "duty `housekeeping`",
    "ontology.credentials.find_credential": "no actor yet; the transaction states the key's digest",
    "ontology.leaks._find_owners": "duty `leaks`",
    "ontology.key_issuing._find_application": "the organisation's own application, which may lie above",
    "ontology.groups.get_organisation": "the organisation's name and plan, which every key of it may know",
    "ontology.groups.count_sub_groups": "a plan counts the whole organisation",
    "ontology.groups.insert_closure": "the pairs of a group whose parent was found within reach",
    "ontology.groups.find_ancestor_ids": "the groups above, as ids for the actor itself",
    "ontology.group_tree._list_below": "the groups below one that was found within reach",
    "ontology.group_tree._rewrite_closure": "the pairs of a group and a parent that were found within reach",
    "ontology.group_tree._index_again": "documents of groups below one that was found within reach",
    "ontology.idempotency.find_answer": "an answer belongs to the key that asked",
    "ontology.idempotency.forget_old_answers": "duty `idempotency`",
    "ontology.things.finish_deletions": "the connections of things that were found within reach",
    "ontology.knowledge_items.list_chunks": "passages of a document that was found within reach",
    "ontology.knowledge_items.claim_pending": "duty `indexing`",
    "ontology.knowledge_items.is_any_pending": "duty `indexing`",
    "ontology.request_log._STORE_ROWS": "duty `request_log`",
    "ontology.retention._ORGANISATIONS": "duty `retention`",
    "ontology.retention._DELETE": "duty `retention`",
    "ontology.retention._DELETE_SEARCHES": "duty `retention`",
    "ontology.search_log._STORE": "duty `search_log`",
    **dict.fromkeys(
        (
            f"ontology.usage_patterns.{name}"
            for name in (
                *("_REACHED", "_CALLS", "_SESSIONS", "_STORE_PATTERNS", "_STORE_SESSIONS"),
                *("_FORGET_SESSIONS", "_FORGET_OLD", "_FORGET_SURPLUS", "_SHARE"),
            )
        ),
        "duty `patterns`",
    ),
    **dict.fromkeys(
        (f"ontology.pattern_changes.{name}" for name in ("_CHANGED", "_CLAIM", "_COMMON")),
        "duty `patterns`",
    ),
    "ontology.records.reach": "the door itself",
}
STARTERS = {"select", "select_columns", "update", "delete", "insert", "exists", "get", "get_one"}
TEXTS = {"text", "sql"}


@dataclass(frozen=True)
class Statement:
    """A place in the code that reads or writes rows of tenants."""

    name: str
    line: int
    at_the_door: bool


def _tenant_models() -> dict[str, str]:
    """Class names and tables of all rows with an organisation."""
    assert migration.ROW_MODULES
    found: dict[str, str] = {GroupClosure.__name__: "group_closure"}
    waiting = list(TenantRow.__subclasses__())
    while waiting:
        model = waiting.pop()
        waiting.extend(model.__subclasses__())
        if getattr(model, "__table__", None) is not None:
            found[model.__name__] = str(model.__tablename__)
    return found | {"Account": "accounts", "PortalSession": "portal_sessions"}


MODELS = _tenant_models()
_TABLE = re.compile(rf"\b(?:FROM|INTO|UPDATE|JOIN|TABLE)\s+({'|'.join(sorted(MODELS.values()))})\b", re.IGNORECASE)


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((PROJECT_DIR / package).rglob("*.py")):
            module = ".".join(path.relative_to(PROJECT_DIR).with_suffix("").parts)
            yield module, ast.parse(path.read_text(encoding="utf-8"))


def _statements(module: str, tree: ast.Module) -> Iterator[Statement]:
    """By function, or by name for what a module defines at its top."""
    for scope in _scopes(tree):
        name = f"{module}.{_name_of(scope)}"
        door = any(isinstance(node, ast.Attribute) and node.attr in ("visible_to", "reach") for node in ast.walk(scope))
        for part in ast.walk(scope):
            if isinstance(part, ast.stmt) and _touches_tenants(part):
                yield Statement(name, part.lineno, door)


def _scopes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _scopes(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign)):
            yield node


def _name_of(scope: ast.AST) -> str:
    if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return scope.name
    assert isinstance(scope, ast.Assign)
    return ast.unparse(scope.targets[0])


def _touches_tenants(statement: ast.stmt) -> bool:
    """By what the statement itself says; those inside it are asked on their own."""
    own = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, (ast.stmt, ast.ExceptHandler))]
    nodes = [node for child in own for node in ast.walk(child)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    calls = {_called(node) for node in nodes if isinstance(node, ast.Call)}
    if calls & STARTERS and names & set(MODELS):
        return True
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return bool(calls & TEXTS and _TABLE.search(" ".join(texts)))


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr if call.func.attr in ("get", "get_one") else ""
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _past_the_door(sources: Iterator[tuple[str, ast.Module]]) -> set[str]:
    found = [statement for module, tree in sources for statement in _statements(module, tree)]
    return {statement.name for statement in found if not statement.at_the_door}


def test_every_query_of_a_tenant_begins_at_the_door_or_is_listed_here() -> None:
    found = _past_the_door(_sources())
    knowledge = {name for name in found if name.startswith("knowledge.ingestion.")}
    assert found - knowledge == set(WITHOUT_ACTOR)


def test_ingestion_works_only_as_the_platform_or_under_its_duty() -> None:
    """Its statements have no actor of a customer: all of its transactions are opened as one of these two."""
    source = (PROJECT_DIR / "knowledge" / "ingestion.py").read_text(encoding="utf-8")
    opened = re.findall(r"open_(?:transaction|duty|lookup)\(([^()]*(?:\(\))?)\)", source)
    assert opened
    assert set(opened) <= {"engine, platform_actor()", "engine, DUTY"}


@pytest.mark.parametrize(
    "body",
    [
        "select(Thing).where(Thing.id == thing_id)",
        "select_columns(func.count()).where(col(Group.id) == 1)",
        "session.get(Thing, thing_id)",
        "text('DELETE FROM things WHERE id = :id')",
    ],
)
def test_a_query_past_the_door_is_found(body: str) -> None:
    source = f"async def steal(session, thing_id):\n    return {body}\n"
    assert _past_the_door(iter([("api.evil", ast.parse(source))])) == {"api.evil.steal"}


READING_POSTS = {"searchKnowledge", "askKnowledge", "troubleshoot", "suggestOperations", "traverseConnections"}


@pytest.mark.parametrize("about", OPERATIONS, ids=lambda about: about.id)
def test_every_operation_asks_for_a_scope_or_is_listed(about: Operation) -> None:
    if about.id in WITHOUT_SCOPE:
        assert about.scope is None
    else:
        assert isinstance(about.scope, Scope)
        verb = about.scope.value.split(":")[1]
        reads = about.method == "GET" or about.id in READING_POSTS
        assert (verb in ("read", "view", "manage")) if reads else (verb in ("write", "delete", "manage"))
        assert verb != "delete" or about.method == "DELETE"


def test_every_route_is_an_operation_or_public_or_a_page(api: Program) -> None:
    handlers = list(_handlers(api))
    assert len(handlers) > len(OPERATIONS)
    for handler in handlers:
        if handler.http_methods == {"OPTIONS"}:
            continue
        known = "operation" in handler.opt or handler.opt.get("public") is True
        assert known or handler.fn.__module__.startswith("portal."), f"{handler.paths} belongs to nobody"


def test_no_page_and_no_public_route_lies_where_operations_lie(api: Program) -> None:
    paths = {about.path for about in OPERATIONS}
    for handler in _handlers(api):
        if "operation" not in handler.opt and "OPTIONS" not in handler.http_methods:
            assert not any(path.startswith("/v1") for path in handler.paths), f"{handler.paths}"
    assert all(path.startswith("/v1/") for path in paths)


def _handlers(api: Program) -> Iterator[HTTPRouteHandler]:
    for route in api.litestar.routes:
        if isinstance(route, HTTPRoute):
            yield from route.route_handlers


def test_every_operation_lists_every_refusal_that_has_a_page() -> None:
    listed = {error for about in OPERATIONS for error in list_errors(about)}
    beyond = {error.code for error in list_error_classes() if error not in listed}
    # What is refused before an operation is found, and what only GitHub's alerts can be refused for.
    assert beyond == {"method_not_allowed", "not_acceptable", "invalid_signature"} - {error.code for error in listed}


def test_every_refusal_tells_what_to_do(subtests: pytest.Subtests) -> None:
    for error in list_error_classes():
        with subtests.test(error.code):
            assert issubclass(error, PortalError)
            assert re.fullmatch(r"[a-z][a-z_]+", error.code)
            assert 400 <= error.status < 600
            assert error.title and not error.title.endswith(".")
            assert error.advice.endswith(".")


def test_every_setting_is_in_the_example_and_the_other_way_round() -> None:
    example = (PROJECT_DIR / ".env.example").read_text(encoding="utf-8")
    documented = re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == {field.name.upper() for field in fields(Settings)}


def test_every_setting_is_read_from_the_environment() -> None:
    source = (PROJECT_DIR / "ontology" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r"(?:text|number)\(\s*\"([A-Z_]+)\"", source))
    assert read == {field.name.upper() for field in fields(Settings)}


def test_every_event_the_code_records_is_in_the_vocabulary() -> None:
    recorded = {name for _, tree in _sources() for name in _recorded_types(tree)}
    assert len(recorded) > 8
    assert recorded <= set(EVENT_TYPES)


def test_older_event_names_lead_to_present_ones() -> None:
    assert set(EVENT_ALIASES.values()) <= set(EVENT_TYPES)
    assert not set(EVENT_ALIASES) & set(EVENT_TYPES)


def _recorded_types(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if called in ("record_event", "_record") and len(node.args) >= 3 and isinstance(node.args[2], ast.Constant):
            yield str(node.args[2].value)
        elif called == "_record" and len(node.args) >= 2 and isinstance(node.args[1], ast.Constant):
            yield str(node.args[1].value)


def test_every_event_of_the_program_is_one_that_only_the_system_writes() -> None:
    recorded = {name for _, tree in _sources() for name in _recorded_types(tree)}
    generic = {name for name in recorded if EVENT_TYPES[name].policy != "system_only"}
    assert generic == set()


def test_no_module_is_left_out_of_the_types_check() -> None:
    config = (PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8")
    for package in PACKAGES:
        assert (PROJECT_DIR / package / "__init__.py").is_file()
        assert config.count(f'"{package}"') >= 2
    suppressed = [
        f"{path.relative_to(PROJECT_DIR)}"
        for package in PACKAGES
        for path in Path(PROJECT_DIR / package).rglob("*.py")
        if re.search(r"#\s*(type: ignore|pyright: basic|ruff: noqa)", path.read_text(encoding="utf-8"))
    ]
    assert suppressed == []
