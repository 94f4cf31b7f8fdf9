"""`python -m portal run`: the whole program."""

import argparse
import logging
import os
import signal
import sys
import time

from portal.exec_child import die_with_parent
from portal.installation import assemble_installation
from portal.start_checks import find_unknown_environment, find_unsafe_settings, is_production
from portal.supervisor import supervise


def main(parsed: argparse.Namespace) -> int:
    if parsed.stop_with_parent:
        die_with_parent(signal.SIGTERM)
    configure_logging(os.environ.get("LOG_LEVEL", ""))
    problems = list(find_unknown_environment(os.environ))
    if is_production(os.environ):
        problems += find_unsafe_settings(os.environ)
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    if problems:
        return 1
    return supervise(assemble_installation(os.environ))


def configure_logging(level: str) -> None:
    """One line per happening on standard error, times in UTC."""
    names = logging.getLevelNamesMapping()
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=names.get(level.strip().upper(), logging.INFO), handlers=[handler])
