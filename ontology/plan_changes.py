"""Moving an organisation to another plan, which is the operator's to do."""

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.errors import NotFound
from ontology.groups import Group, record_group_event
from ontology.plans import Plan, describe_allowance
from ontology.records import next_change
from ontology.thing_rows import Thing


async def change_plan(session: AsyncSession, actor: Actor, plan: Plan) -> Plan:
    """Give the actor's organisation another plan, with its event; the plan it had.

    Limits of its own stay, and so do rows beyond a smaller plan's quota: only further ones are refused. The caller
    raises the authorisation epoch after commit; then it holds for the next call, on every process. Repeating is
    harmless.

    Raises:
        NotFound: no such organisation.
    """
    query = Group.visible_to(actor).where(col(Group.id) == actor.org_id).with_for_update()
    organisation = (await session.exec(query)).first()
    if organisation is None or organisation.plan is None:
        raise NotFound
    before = Plan(organisation.plan)
    if plan == before:
        return before
    organisation.plan = plan
    organisation.updated_at = next_change(organisation.updated_at)
    quotas = Thing.visible_to(actor).where(col(Thing.type) == "api_quota").with_for_update()
    for quota in (await session.exec(quotas)).all():
        quota.properties = quota.properties | describe_allowance(plan)
        quota.updated_at = next_change(quota.updated_at)
    changes, previous = {"plan": plan.value}, {"plan": before.value}
    record_group_event(
        session, actor, "thing_updated", organisation, action="updated", changes=changes, previousValues=previous
    )
    return before
