"""Whether a node serves: its supervisor runs, its processes stay, and its receivers answer a C-ECHO."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from node.config import in_force
from node.dimse import scu
from node.dimse.scu import Peer, RejectedError
from node.errors import NodeError
from node.serve.listening import LISTENING

_MAY_TAKE = 15.0
"""Seconds for the association, and for the answer."""


def answers(data: Path) -> str | None:
    """Why the node on this data folder does not serve; None where it does.

    A receiver that rejects us as an unknown caller has answered. Over TLS alone it cannot be asked, since client
    certificates are other systems' own: then a connection counts.
    """
    try:
        said = json.loads((data / LISTENING).read_text())
        supervisor = psutil.Process(int(said["pid"]))
        children = [" ".join(each.cmdline()) for each in supervisor.children()]
        running = in_force.read(data / in_force.FILE).configuration
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return "it does not listen"
    if not any("node.app" in line for line in children) or not any("node.receive" in line for line in children):
        return "its processes do not run"
    if said["port"] is None:
        return None
    listen = running.node.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared, not listened on
    try:
        scu.echo(Peer(host, int(said["port"]), running.node.ae_title, running.node.ae_title, timeout=_MAY_TAKE))
    except RejectedError:
        return None
    except NodeError as error:
        return str(error)
    return None
