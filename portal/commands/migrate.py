"""`python -m portal migrate`: bring the database to the newest migration."""

import argparse
import asyncio
import os

from ontology.migration import migrate
from portal.installation import assemble_installation, reachable_database


def main(parsed: argparse.Namespace) -> int:
    with reachable_database(assemble_installation(os.environ)) as settings:
        asyncio.run(migrate(settings))
    return 0
