"""What the HTTP server loads in each web process: the program, tied to the life of the server's master.

Without this a `kill -9` of the master leaves its web processes serving the port.
"""

import multiprocessing
import os

from litestar.types import ASGIApp

from portal import app
from portal.exec_child import die_with_parent


def create_app() -> ASGIApp:
    """Assemble the program in a web process; see `portal.app`."""
    die_with_parent()
    master = multiprocessing.parent_process()
    if master is not None and not master.is_alive():
        os._exit(1)  # it died while this process was loading the program
    return app.create_app()
