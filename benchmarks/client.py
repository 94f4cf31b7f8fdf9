"""Clients are processes of their own, so that what sends costs what is measured as little as it can."""

import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from portal.child_process import PROJECT_DIR

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def run_client(module: str, order: "DataclassInstance") -> Any:
    """Give `python -m module` its order as JSON; what it prints, read from JSON.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on standard error.
    """
    finished = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asdict(order)),
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)
