"""`python -m portal check`: say whether these settings are safe for production, one line for each that is not."""

import argparse
import os
import sys

from portal.start_checks import find_unknown_environment, find_unsafe_settings


def main(parsed: argparse.Namespace) -> int:
    problems = [*find_unknown_environment(os.environ), *find_unsafe_settings(os.environ)]
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    if not problems:
        print("These settings are safe for production.")
    return 1 if problems else 0
