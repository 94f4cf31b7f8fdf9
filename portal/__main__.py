"""`python -m portal COMMAND`: what operators and scripts do at the command line.

Each command is a module of `portal.commands`, loaded when it is asked for: `run` must start at once and stay small,
while others load the whole program.
"""

import argparse
import importlib
import sys

from portal.child_process import StartError

PLANS = ("starter", "pro", "enterprise")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m portal", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="start everything, print the address, stop on Ctrl-C")
    run.add_argument("--stop-with-parent", action="store_true", help="stop when the process that started this ends")
    commands.add_parser("migrate", help="bring the database to the newest migration")
    commands.add_parser("prune", help="forget calls older than their plan keeps; `run` does it every day")
    commands.add_parser("ingest", help="store the platform's own pages, errors and operations for the search")
    commands.add_parser("reindex", help="rebuild the search index from the database while the program runs")
    migration = commands.add_parser("migration", help="write a new migration from what the rows say")
    migration.add_argument("message", metavar="WHAT", help='what it does: "add things"')
    commands.add_parser("check", help="say whether these settings are safe for production")
    register = commands.add_parser("register", help="register an organisation; prints its id and first key as JSON")
    register.add_argument("name", metavar="NAME", help="of the organisation")
    register.add_argument("email", metavar="EMAIL", help="of its owner")
    register.add_argument("--plan", choices=PLANS, default=PLANS[0])
    password = commands.add_parser("password", help="give an account a new password; prints it as JSON")
    password.add_argument("email", metavar="EMAIL", help="of the account")
    password.add_argument(
        "--organisation", metavar="ID", help="make an account for a person of this organisation who has none yet"
    )
    plan = commands.add_parser("plan", help="move an organisation to another plan; holds from the next call on")
    plan.add_argument("organisation", metavar="ORGANISATION_ID")
    plan.add_argument("plan", choices=PLANS)
    commands.add_parser("openapi", help="print the OpenAPI document")
    commands.add_parser("shell", help="an asyncio prompt with settings and database at hand")
    return parser


def main(arguments: list[str]) -> int:
    parser = build_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    parsed = parser.parse_args(arguments)
    command = importlib.import_module(f"portal.commands.{parsed.command}")
    try:
        return int(command.main(parsed))
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
