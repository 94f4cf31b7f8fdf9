"""What the HTTP server loads in each web process: the program, tied to the life of the server's master.

Without this a `kill -9` of the master leaves its web processes serving the port.
"""

import gc
import multiprocessing
import os

from litestar.types import ASGIApp

from portal import app
from portal.exec_child import die_with_parent

# Objects made and not yet freed that make the collector look at the young ones; Python begins with 700.
GARBAGE_THRESHOLD = 10_000


def create_app() -> ASGIApp:
    """Assemble the program in a web process; see `portal.app`."""
    die_with_parent()
    master = multiprocessing.parent_process()
    if master is not None and not master.is_alive():
        os._exit(1)  # it died while this process was loading the program
    created = app.create_app()
    settle_memory()
    return created


def settle_memory() -> None:
    """What is loaded by now stays: to collect it again and again costs a twentieth of the processor."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
