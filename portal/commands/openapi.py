"""`python -m portal openapi`: the OpenAPI document as the program serves it, without starting anything."""

import argparse
import json
import os
import sys

from api.routes import openapi_document
from ontology.settings import Settings


def main(parsed: argparse.Namespace) -> int:
    document = openapi_document(Settings.from_environment(os.environ).public_url)
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 0
