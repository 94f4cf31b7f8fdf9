"""`python -m portal shell`: a prompt with `settings` and a database `engine` at hand."""

import argparse
import code
import os

from ontology.database import create_engine
from portal.installation import assemble_installation, reachable_database

BANNER = "settings: this installation's settings; engine: its database, as the program's role"


def main(parsed: argparse.Namespace) -> int:
    with reachable_database(assemble_installation(os.environ)) as settings:
        code.interact(banner=BANNER, local={"settings": settings, "engine": create_engine(settings)}, exitmsg="")
    return 0
