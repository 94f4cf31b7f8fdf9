"""`/v1/applications`: the programs of an organisation, each with its service account and its keys."""

from api import examples
from api.api_keys import raise_epoch
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery
from ontology import applications
from ontology.applications import Application, ApplicationCreate, ApplicationUpdate
from ontology.errors import Conflict, GroupArchived, NotFound, PrivilegeEscalation
from ontology.pagination import Page
from ontology.records import utc_now
from ontology.scopes import Scope

_TAG = "Applications"
_PATH_ID = {"applicationId": "thing"}


@operation(
    "POST",
    "/v1/applications",
    id="createApplication",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    body=ApplicationCreate,
    answer=Application,
    status=201,
    errors=(NotFound, GroupArchived),
    body_example=examples.APPLICATION_CREATE,
    answer_example=examples.APPLICATION,
)
async def create_application(call: Call[ApplicationCreate, NoQuery]) -> Application:
    """Register an application.

    It gets a service account of its own, which its keys act as; make them with `applicationId`.
    """
    return await applications.create_application(call.session, call.actor, call.body)


@operation(
    "GET",
    "/v1/applications",
    id="listApplications",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    query=PageQuery,
    answer=Application,
    shape="page",
    answer_example=examples.APPLICATION,
)
async def list_applications(call: Call[NoBody, PageQuery]) -> Page[Application]:
    """List applications.

    Those of the key's group and every group below it, newest first, archived ones included.
    """
    return await applications.list_applications(call.session, call.actor, call.page(call.query))


@operation(
    "GET",
    "/v1/applications/{applicationId}",
    id="getApplication",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    path_ids=_PATH_ID,
    answer=Application,
    errors=(NotFound,),
    answer_example=examples.APPLICATION,
)
async def get_application(call: Call[NoBody, NoQuery]) -> Application:
    """Get an application."""
    return await applications.get_application(call.session, call.actor, call.ids["applicationId"])


@operation(
    "PATCH",
    "/v1/applications/{applicationId}",
    id="updateApplication",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    body=ApplicationUpdate,
    path_ids=_PATH_ID,
    answer=Application,
    errors=(NotFound, Conflict),
    body_example=examples.APPLICATION_UPDATE,
    answer_example=examples.APPLICATION | examples.APPLICATION_UPDATE,
)
async def update_application(call: Call[ApplicationUpdate, NoQuery]) -> Application:
    """Change an application.

    Its name and description; what is absent stays.
    """
    application_id = call.ids["applicationId"]
    return await applications.update_application(call.session, call.actor, application_id, call.body, utc_now())


@operation(
    "DELETE",
    "/v1/applications/{applicationId}",
    id="archiveApplication",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    path_ids=_PATH_ID,
    answer=Application,
    errors=(NotFound, PrivilegeEscalation),
    answer_example=examples.APPLICATION | {"status": "archived", "archivedAt": 1_795_500_060_000},
    after_commit=raise_epoch,
)
async def archive_application(call: Call[NoBody, NoQuery]) -> Application:
    """Archive an application.

    All of its keys are revoked in the same transaction, and dead on their next request. Archiving twice is harmless.
    """
    return await applications.archive_application(call.session, call.actor, call.ids["applicationId"], utc_now())


handlers = [create_application, list_applications, get_application, update_application, archive_application]
