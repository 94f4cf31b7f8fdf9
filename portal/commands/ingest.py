"""`python -m portal ingest`: store the platform's own pages, error codes and operations; the worker indexes them."""

import argparse
import asyncio
import os

from api.routes import openapi_document
from knowledge.ingestion import ingest_platform
from knowledge.sources import DOCS_DIR
from ontology.database import create_engine
from ontology.errors import list_error_classes
from ontology.settings import Settings
from portal.installation import assemble_installation, reachable_database


def main(parsed: argparse.Namespace) -> int:
    with reachable_database(assemble_installation(os.environ)) as settings:
        asyncio.run(_ingest(settings))
    return 0


async def _ingest(settings: Settings) -> None:
    engine = create_engine(settings)
    await ingest_platform(engine, DOCS_DIR, list_error_classes(), openapi_document(settings.public_url))
    await engine.dispose()
