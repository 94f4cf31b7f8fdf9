"""`python -m portal register NAME EMAIL`: an organisation and its first key, for operators and scripts.

Works before the first start and while the program runs. No portal account is made: `password` gives the owner one.
"""

import argparse
import asyncio
import json
import os
import sys

from ontology.database import create_engine, open_lookup
from ontology.errors import PortalError
from ontology.ids import encode_id
from ontology.migration import migrate
from ontology.plans import Plan
from ontology.registration import Applicant, Registration, register_organisation
from ontology.settings import Settings
from portal.child_process import StartError
from portal.installation import assemble_installation, reachable_database


def main(parsed: argparse.Namespace) -> int:
    name, email = parsed.name.strip(), parsed.email.strip()
    person_name, _, domain = email.partition("@")
    if not (name and person_name and domain):
        raise StartError("NAME must not be empty and EMAIL must be an e-mail address")
    applicant = Applicant(name, person_name, email, plan=Plan(parsed.plan))
    with reachable_database(assemble_installation(os.environ)) as settings:
        registration = asyncio.run(register(settings, applicant))
    sys.stdout.write(json.dumps(describe(registration), indent=2, ensure_ascii=False) + "\n")
    return 0


async def register(settings: Settings, applicant: Applicant) -> Registration:
    """Migrate if need be, then register in one transaction.

    Raises:
        StartError: the ontology refuses the applicant; the message is its own.
    """
    await migrate(settings)
    engine = create_engine(settings)
    try:
        async with open_lookup(engine, email=applicant.email) as session:
            return await register_organisation(session, applicant, pepper=settings.key_pepper)
    except PortalError as refusal:
        raise StartError(str(refusal)) from None
    finally:
        await engine.dispose()


def describe(registration: Registration) -> dict[str, object]:
    """What is printed: the only time the key's text is shown."""
    organisation = registration.organisation
    return {
        "organisationId": encode_id("group", organisation.id),
        "organisationName": organisation.name,
        "plan": organisation.plan,
        "ownerId": encode_id("person", registration.owner.id),
        "key": registration.key.key,
    }
