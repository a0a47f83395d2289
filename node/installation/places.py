"""Where an installed node has its things (hier(7)), and which program runs it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from node.serve.users import NODE

SETTINGS = Path("/etc/pacsnode")
"""Of root; the node's group may read it."""
CONFIG = SETTINGS / "config.yaml"
SECRETS = SETTINGS / "secrets"
RECORD = SETTINGS / "installed.json"
"""What was written by whom: root alone may write here, for it says what is to be removed."""
DATA = Path("/var/lib", NODE)
UNITS = Path("/etc/systemd/system")
SERVICE, SOCKET = UNITS / "pacsnode.service", UNITS / "pacsnode.socket"
JOURNAL = Path("/etc/systemd/journald@pacsnode.conf")
APPARMOR = Path("/etc/apparmor.d/pacsnode")
APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
"""There is such a switch where AppArmor can forbid user namespaces (Ubuntu 23.10 and later)."""
BOOTED = Path("/run/systemd/system")
"""It is there where systemd is the first process (sd_booted(3))."""
_NAME = "pacsnode"


@dataclass(frozen=True, slots=True)
class InstalledFolder:
    """A folder that an installed node has."""

    path: Path
    mode: int
    owner: str
    group: str


FOLDERS = (
    # What is made in these two gets the group of the folder, so the node may read what root writes there.
    InstalledFolder(SETTINGS, 0o2750, "root", NODE),
    InstalledFolder(SECRETS, 0o2750, "root", NODE),
    InstalledFolder(DATA, 0o700, NODE, NODE),
)


def below(root: Path, path: Path) -> Path:
    """A place of the machine, as it is called below `root`."""
    return root / path.relative_to("/")


def program() -> Path:
    """The command that the service is to run: the one that was typed, else the one beside this interpreter.

    A link is not followed: it may be what an upgrade sets to the next version.
    """
    typed = Path(sys.argv[0]).absolute()
    return typed if typed.name == _NAME and typed.exists() else Path(sys.executable).absolute().parent / _NAME
