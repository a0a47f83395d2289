"""A node that is killed while it writes into a folder, or sends by STOW-RS: nothing is lost, nothing is half there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from node.config.destinations import Destination
from node.config.folder_destination import FolderDestination
from node.config.web_destinations import DicomWebDestination
from node.deliver.outbox import Outbox
from node.ledger.delivery import DeliveryStatus
from node.stage import Node
from node.wake import Wakes
from tests.support.sites.configurations import with_destinations
from tests.support.sites.outbox_room import OutboxRoom
from tests.support.sites.scripted_dicomweb import DicomWebServer, Heard, Step, serving
from tests.support.wait import until

IMAGES, BEFORE = 6, 3
"""Images of the study, and which object is under way when the node is killed."""
KINDS: Mapping[str, type[Destination]] = {"dicomweb": DicomWebDestination, "folder": FolderDestination}
PROGRAM = """
import json, os, sys, time
from pathlib import Path
from tests.integration.deliver.test_killed_ways import BEFORE, room_for

data, settings, when = sys.argv[1:]
link, calls = os.link, []

def stopped(*arguments, **keys):
    calls.append(arguments)
    if len(calls) == BEFORE:
        if when == "after":
            link(*arguments, **keys)
        Path(data, "stopped").touch()
        time.sleep(600)
    link(*arguments, **keys)

os.link = stopped
room_for(Path(data), json.loads(settings)).run()
"""


def room_for(data: Path, settings: Mapping[str, Any]) -> OutboxRoom:
    """An outbox to this destination, on rows that may be there already."""
    room = OutboxRoom(data, 1)
    destination = KINDS[settings["kind"]].model_validate(settings)
    node = Node(room.ledger, room.data_folder, room.clock, Wakes())
    room.outbox = Outbox("pacs", node, with_destinations(pacs=destination))
    return room


def killed(
    data: Path, settings: Mapping[str, Any], is_under_way: Callable[[], bool], when: str = ""
) -> tuple[OutboxRoom, list[str]]:
    """Send images and a result by another process, which is killed in the midst; this one goes on until all is sent."""
    room = room_for(data, settings)
    uids = [*room.forward("1.2.3", IMAGES), room.result("1.2.4", "1.2.4.9")]
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(data), json.dumps(dict(settings)), when])
    try:
        until(is_under_way, what="one object to be under way")
    finally:
        child.kill()
        child.wait()
    assert sum(room.status(uid) is DeliveryStatus.SENDING for uid in uids) == 1
    room.run()
    room.clock.pass_(hours=1)
    room.run()
    assert {room.status(uid) for uid in uids} == {DeliveryStatus.DELIVERED}
    return room, uids


@pytest.mark.parametrize("when", ["before", "after"])
def test_fault_55_killed_while_files_are_written(when: str, tmp_path: Path) -> None:
    """Just before, or after, a file gets its name: each object is one whole file, and no part of one is left."""
    out = tmp_path / "out"
    out.mkdir()
    settings = {"kind": "folder", "folder": str(out), "names": "{study_instance_uid}/{sop_instance_uid}.dcm"}
    room, uids = killed(tmp_path / "data", settings, (tmp_path / "data" / "stopped").exists, when)
    files = {path.stem: path for path in out.rglob("*") if path.is_file()}
    assert sorted(files) == sorted(uids)
    assert all(path.suffix == ".dcm" for path in files.values())
    for uid in uids:
        row = room.of(uid)
        source = room.data_folder.find(row.receipt) if row.receipt else Path(row.file or "")
        assert files[uid].read_bytes() == source.read_bytes()


def test_fault_55_killed_while_objects_are_sent_by_stow(tmp_path: Path) -> None:
    """Stored, and not answered: each object is there, and the one that was under way was sent twice."""
    with serving(DicomWebServer()) as server:

        def silent(handler: BaseHTTPRequestHandler, request: Heard) -> None:
            server.keep(request)
            handler.rfile.read(1)  # until the node is gone
            handler.close_connection = True

        usual: Step = server.store
        server.script = [*[usual] * (BEFORE - 1), silent]
        settings = {"kind": "dicomweb", "url": server.url, "identity_check": "none"}
        _, uids = killed(tmp_path / "data", settings, lambda: len(server.held) == BEFORE)
        sent = [str(each.dataset.SOPInstanceUID) for each in server.of("POST")]
        assert server.held.keys() == {*uids} == {*sent}
        assert len(sent) == len(uids) + 1
