"""`python -m portal plan ORGANISATION_ID PLAN`: move an organisation to another plan, from its next call on."""

import argparse
import asyncio
import json
import os
import sys
from uuid import UUID

from ontology.actors import operator_actor
from ontology.database import create_engine, open_transaction
from ontology.errors import NotFound
from ontology.limits import Limiter
from ontology.plan_changes import change_plan
from ontology.plans import Plan
from ontology.redis_client import RedisError, create_redis
from ontology.settings import Settings
from portal.child_process import StartError
from portal.commands.arguments import read_organisation
from portal.installation import assemble_installation, reachable_database

_UNTOLD = "note: Redis does not answer, so a program that runs could not be told; repeat this or start it again\n"


def main(parsed: argparse.Namespace) -> int:
    org_id, plan = read_organisation(parsed.organisation), Plan(parsed.plan)
    with reachable_database(assemble_installation(os.environ)) as settings:
        before, told = asyncio.run(_change(settings, org_id, plan))
    if not told:
        sys.stderr.write(_UNTOLD)
    about = {"organisationId": parsed.organisation, "plan": plan.value, "previousPlan": before.value}
    sys.stdout.write(json.dumps(about, indent=2) + "\n")
    return 0


async def _change(settings: Settings, org_id: UUID, plan: Plan) -> tuple[Plan, bool]:
    """The plan it had, and whether every process knows that it has another."""
    engine = create_engine(settings)
    redis = create_redis(settings)
    try:
        actor = operator_actor(org_id)
        async with open_transaction(engine, actor) as session:
            before = await change_plan(session, actor, plan)
        try:
            await Limiter(redis).raise_epoch(org_id)
        except RedisError:
            return before, False
        return before, True
    except NotFound:
        raise StartError("no organisation has this id") from None
    finally:
        await redis.aclose()
        await engine.dispose()
