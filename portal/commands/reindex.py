"""`python -m portal reindex`: throw the search index away; the running worker fills it again from the database."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from knowledge.client import KnowledgeClient
from ontology.errors import SearchUnavailable
from portal.child_process import StartError
from portal.installation import assemble_installation


def main(parsed: argparse.Namespace) -> int:
    asyncio.run(_reindex(Path(assemble_installation(os.environ).settings.knowledge_socket)))
    sys.stdout.write("The index is being rebuilt; until `/health/ready` says that it is whole, search answers 503\n")
    return 0


async def _reindex(socket_path: Path) -> None:
    client = KnowledgeClient(socket_path)
    try:
        await client.begin_anew()
    except SearchUnavailable:
        raise StartError("ONE does not run here; start it with `make run`, then rebuild its index") from None
    finally:
        await client.close()
