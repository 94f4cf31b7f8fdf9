"""`/v1/people` and `/v1/invitations`: who may, and how they come in."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api import examples
from api.api_keys import raise_epoch
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery, QueryText
from ontology import invitations, memberships, people
from ontology.errors import Conflict, GroupArchived, NotFound, PrivilegeEscalation
from ontology.ids import GroupId
from ontology.invitations import Invitation, InvitationCreate, InvitationFields, NewInvitation
from ontology.memberships import Membership
from ontology.pagination import Page
from ontology.people import Person, PersonFields, PersonUpdate
from ontology.records import utc_now
from ontology.roles import Role
from ontology.scopes import Scope

_TAG = "People"
_PATH_ID = {"personId": "person"}


class PeopleQuery(PageQuery):
    """Filters of the list of people."""

    group_id: Annotated[GroupId, Field(description="Only people of this group.")] | None = None
    role: Annotated[Role, Field(description="Only people with this role.")] | None = None
    status: Annotated[Literal["active", "archived"], Field(description="`archived`: those removed.")] | None = None
    email: Annotated[QueryText, Field(description="Only people with this e-mail address.")] | None = None


class InvitationsQuery(PageQuery):
    """Filters of the list of invitations."""

    group_id: Annotated[GroupId, Field(description="Only invitations into this group.")] | None = None
    status: (
        Annotated[Literal["pending", "accepted", "cancelled", "expired"], Field(description="What became of them.")]
        | None
    ) = None


@operation(
    "GET",
    "/v1/people",
    id="listPeople",
    tag=_TAG,
    scope=Scope.PEOPLE_READ,
    query=PeopleQuery,
    answer=PersonFields,
    shape="page",
    errors=(NotFound,),
    answer_example=examples.PERSON,
)
async def list_people(call: Call[NoBody, PeopleQuery]) -> Page[Person]:
    """List people.

    Those of the key's group and every group below it, newest first, those removed included.
    """
    query = call.query
    return await people.list_people(
        call.session,
        call.actor,
        call.page(query),
        group_id=query.group_id,
        role=query.role,
        status=query.status,
        email=query.email,
    )


@operation(
    "GET",
    "/v1/people/{personId}",
    id="getPerson",
    tag=_TAG,
    scope=Scope.PEOPLE_READ,
    path_ids=_PATH_ID,
    answer=PersonFields,
    errors=(NotFound,),
    answer_example=examples.PERSON,
)
async def get_person(call: Call[NoBody, NoQuery]) -> Person:
    """Get a person.

    Those removed too, with `status` `archived`.
    """
    return await people.get_person(call.session, call.actor, call.ids["personId"])


@operation(
    "PATCH",
    "/v1/people/{personId}",
    id="updatePerson",
    tag=_TAG,
    scope=Scope.PEOPLE_WRITE,
    path_ids=_PATH_ID,
    body=PersonUpdate,
    answer=PersonFields,
    errors=(NotFound, Conflict, PrivilegeEscalation),
    body_example=examples.PERSON_UPDATE,
    answer_example=examples.PERSON | examples.PERSON_UPDATE,
    after_commit=raise_epoch,
)
async def update_person(call: Call[PersonUpdate, NoQuery]) -> Person:
    """Update a person.

    Their name, and their role: it holds from their next request on. Nobody gives or takes a role that allows more than
    their own, and the last owner of an organisation stays one.
    """
    return await memberships.update_person(call.session, call.actor, call.ids["personId"], call.body, utc_now())


@operation(
    "DELETE",
    "/v1/people/{personId}",
    id="removePerson",
    tag=_TAG,
    scope=Scope.PEOPLE_WRITE,
    path_ids=_PATH_ID,
    answer=PersonFields,
    errors=(NotFound, Conflict, PrivilegeEscalation),
    answer_example=examples.PERSON | {"status": "archived"},
    after_commit=raise_epoch,
)
async def remove_person(call: Call[NoBody, NoQuery]) -> Person:
    """Remove a person.

    Their membership ends and they are signed out everywhere, at once. What they made stays. Removing twice is harmless.
    """
    return await memberships.remove_person(call.session, call.actor, call.ids["personId"], utc_now())


@operation(
    "GET",
    "/v1/people/{personId}/memberships",
    id="listMemberships",
    tag=_TAG,
    scope=Scope.PEOPLE_READ,
    path_ids=_PATH_ID,
    answer=Membership,
    shape="list",
    errors=(NotFound,),
    answer_example=examples.MEMBERSHIP,
)
async def list_memberships(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """List a person's memberships.

    Every group within the key's reach that people of the same e-mail address belong to, with the role held there.
    """
    found = await memberships.list_memberships(call.session, call.actor, call.ids["personId"])
    return {"data": [membership.as_json() for membership in found]}


@operation(
    "POST",
    "/v1/invitations",
    id="createInvitation",
    tag=_TAG,
    scope=Scope.PEOPLE_WRITE,
    body=InvitationCreate,
    answer=NewInvitation,
    status=201,
    errors=(NotFound, GroupArchived, PrivilegeEscalation, Conflict),
    body_example=examples.INVITATION_CREATE,
    answer_example=examples.NEW_INVITATION,
)
async def create_invitation(call: Call[InvitationCreate, NoQuery]) -> NewInvitation:
    """Invite a person.

    The answer holds a `link` that lets one person in, within seven days: the only time it is shown. An earlier
    invitation of the same address into the same group ends.
    """
    public_url = call.services.settings.public_url
    return await invitations.create_invitation(
        call.session, call.actor, call.body, public_url=public_url, now=utc_now()
    )


@operation(
    "GET",
    "/v1/invitations",
    id="listInvitations",
    tag=_TAG,
    scope=Scope.PEOPLE_READ,
    query=InvitationsQuery,
    answer=InvitationFields,
    shape="page",
    errors=(NotFound,),
    answer_example=examples.INVITATION,
)
async def list_invitations(call: Call[NoBody, InvitationsQuery]) -> Page[Invitation]:
    """List invitations.

    Into the key's group and every group below it, newest first, without their links.
    """
    query = call.query
    return await invitations.list_invitations(
        call.session, call.actor, call.page(query), utc_now(), group_id=query.group_id, status=query.status
    )


@operation(
    "DELETE",
    "/v1/invitations/{invitationId}",
    id="cancelInvitation",
    tag=_TAG,
    scope=Scope.PEOPLE_WRITE,
    path_ids={"invitationId": "invitation"},
    answer=InvitationFields,
    errors=(NotFound, Conflict, PrivilegeEscalation),
    answer_example=examples.INVITATION | {"status": "cancelled", "cancelledAt": 1_795_500_060_000},
)
async def cancel_invitation(call: Call[NoBody, NoQuery]) -> Invitation:
    """Cancel an invitation.

    Its link lets nobody in from here on. Cancelling twice is harmless.
    """
    return await invitations.cancel_invitation(call.session, call.actor, call.ids["invitationId"], utc_now())


handlers = [
    list_people,
    get_person,
    update_person,
    remove_person,
    list_memberships,
    create_invitation,
    list_invitations,
    cancel_invitation,
]
