"""`python -m portal password EMAIL`: a new random password for who cannot sign in any more, or could not yet.

All sessions of the account end. With `--organisation`, a person of that organisation who has no account gets one: the
owner that `register` made, for instance.
"""

import argparse
import asyncio
import json
import os
import sys
from uuid import UUID

from ontology.accounts import normalise_email
from ontology.database import create_engine, open_lookup
from ontology.errors import NotFound
from ontology.password_resets import PasswordReset, reset_password
from ontology.passwords import hash_password, make_password
from ontology.records import utc_now
from ontology.settings import Settings
from portal.child_process import StartError
from portal.commands.arguments import read_organisation
from portal.installation import assemble_installation, reachable_database


def main(parsed: argparse.Namespace) -> int:
    email, password = normalise_email(parsed.email), make_password()
    org_id = read_organisation(parsed.organisation) if parsed.organisation else None
    with reachable_database(assemble_installation(os.environ)) as settings:
        reset = asyncio.run(_reset(settings, email, password, org_id))
    about = {"newAccount": reset.new_account, "sessionsEnded": reset.sessions_ended}
    sys.stdout.write(json.dumps({"email": email, "password": password} | about, indent=2, ensure_ascii=False) + "\n")
    return 0


async def _reset(settings: Settings, email: str, password: str, org_id: UUID | None) -> PasswordReset:
    engine = create_engine(settings)
    try:
        async with open_lookup(engine, email=email) as session:
            return await reset_password(session, email, await hash_password(password), org_id=org_id, now=utc_now())
    except NotFound:
        where = "and no person of that organisation" if org_id else "; for who has none yet, name the --organisation"
        raise StartError(f"no account has this e-mail address{'' if org_id is None else ' '}{where}") from None
    finally:
        await engine.dispose()
