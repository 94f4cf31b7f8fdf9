"""Become another program, tied to the life of the process that started it.

`python -I -S exec_child.py PARENT_PID DEATH_SIGNAL IDENTITY COMMAND …` asks the kernel to send this process
DEATH_SIGNAL when its parent dies, takes on IDENTITY and executes COMMAND. A separate program, because code
between fork and exec of a process with threads may deadlock. It imports nothing of ours, so it starts in
milliseconds.

IDENTITY is `same`; `UID:GID`, which only root can take on; or `namespace`, for root where no other user can
reach the files: a user namespace in which root appears as `nobody`, for programs that refuse to run as root.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NOBODY = 65534


def die_with_parent(death_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `death_signal` when its parent dies. Linux only, nothing elsewhere.

    The kernel forgets this when the process changes its identity, so call it afterwards.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def enter_user_namespace() -> None:
    """Appear as `nobody` while remaining, outside, the user who owns the files.

    Raises:
        OSError: user namespaces are switched off here.
    """
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not available here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")


def take_identity(identity: str) -> None:
    if identity == "namespace":
        enter_user_namespace()
    elif identity != "same":
        uid, gid = (int(number) for number in identity.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, identity, *command = arguments
    try:
        take_identity(identity)
        die_with_parent(int(death_signal))
        if os.getppid() != int(parent_pid):
            sys.exit(1)  # the parent died before the kernel was asked
        os.execv(command[0], command)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.exit(f"{command[0]}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
