"""`python -m portal prune`: forget calls older than their plan keeps, and make the partitions of months to come."""

import argparse
import asyncio
import os
import sys

from ontology.records import utc_now
from ontology.retention import forget_old_calls
from portal.installation import assemble_installation, reachable_database


def main(parsed: argparse.Namespace) -> int:
    with reachable_database(assemble_installation(os.environ)) as settings:
        deleted = asyncio.run(forget_old_calls(settings, utc_now()))
    sys.stdout.write(f"{deleted} old calls forgotten\n")
    return 0
