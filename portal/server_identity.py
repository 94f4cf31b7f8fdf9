"""Which user a server runs as that refuses to run as root, when the operator is root."""

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path


def choose_server_uid(data_dir: Path, binaries: Path) -> int:
    """Who a new cluster belongs to: us; but `nobody` if we are root and `nobody` can reach data and binaries.

    Root (the files closed to everybody else) means a user namespace: PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    with suppress(KeyError):
        nobody = pwd.getpwnam("nobody").pw_uid
        if all(_is_open_to_everybody(path) for path in (data_dir, binaries)):
            return nobody
    return 0


def identity_of(uid: int) -> str:
    """How `exec_child` is to run the server whose files belong to `uid`."""
    if os.geteuid() != 0:
        return "same"
    return "namespace" if uid == 0 else f"{uid}:{pwd.getpwuid(uid).pw_gid}"


def _is_open_to_everybody(path: Path) -> bool:
    path = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))
