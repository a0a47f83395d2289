"""A node that is killed while it writes into a folder, or sends by STOW-RS: nothing is lost, nothing is half there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from node.config.destinations import Destination
from node.config.folder_destination import FolderDestination
from node.config.web_destinations import DicomWebDestination
from node.deliver.outbox import Outbox
from node.ledger.delivery import DeliveryStatus
from node.stage import Node
from node.wake import Wakes
from tests.support.sites.configurations import with_destinations
from tests.support.sites.outbox_room import OutboxRoom
from tests.support.sites.scripted_dicomweb import DicomWebServer, serving
from tests.support.wait import until

IMAGES = 12
KINDS: Mapping[str, type[Destination]] = {"dicomweb": DicomWebDestination, "folder": FolderDestination}
PROGRAM = """
import json, sys
from pathlib import Path
from tests.integration.deliver.test_killed_ways import room_for

room_for(Path(sys.argv[1]), json.loads(sys.argv[2])).run()
"""


def room_for(data: Path, settings: Mapping[str, Any]) -> OutboxRoom:
    """An outbox to this destination, on rows that may be there already."""
    room = OutboxRoom(data, 1)
    destination = KINDS[settings["kind"]].model_validate(settings)
    node = Node(room.ledger, room.data_folder, room.clock, Wakes())
    room.outbox = Outbox("pacs", node, with_destinations(pacs=destination))
    return room


def killed(data: Path, settings: Mapping[str, Any], is_under_way: Callable[[], bool]) -> tuple[OutboxRoom, list[str]]:
    """Send images and a result by another process, which is killed in the midst; this one goes on until all is sent."""
    room = room_for(data, settings)
    uids = [*room.forward("1.2.3", IMAGES), room.result("1.2.4", "1.2.4.9")]
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(data), json.dumps(dict(settings))])
    try:
        until(lambda: is_under_way() or child.poll() is not None, what="some objects there")
    finally:
        child.kill()
        child.wait()
    assert sum(room.status(uid) is not DeliveryStatus.DELIVERED for uid in uids) > 0, "it was killed too late"
    room.run()
    room.clock.pass_(hours=1)
    room.run()
    assert {room.status(uid) for uid in uids} == {DeliveryStatus.DELIVERED}
    return room, uids


def test_fault_55_killed_while_files_are_written(tmp_path: Path) -> None:
    """Each object is one whole file under its name; no part of one is left."""
    out = tmp_path / "out"
    out.mkdir()
    settings = {"kind": "folder", "folder": str(out), "names": "{study_instance_uid}/{sop_instance_uid}.dcm"}
    room, uids = killed(tmp_path / "data", settings, lambda: len(list(out.rglob("*.dcm"))) >= IMAGES // 2)
    files = {path.stem: path for path in out.rglob("*") if path.is_file()}
    assert sorted(files) == sorted(uids)
    assert all(path.suffix == ".dcm" for path in files.values())
    for uid in uids:
        row = room.of(uid)
        source = room.data_folder.find(row.receipt) if row.receipt else Path(row.file or "")
        assert files[uid].read_bytes() == source.read_bytes()


def test_fault_55_killed_while_objects_are_sent_by_stow(tmp_path: Path) -> None:
    """Each object is there, and the one at most that was under way was sent twice."""
    with serving(DicomWebServer()) as server:
        settings = {"kind": "dicomweb", "url": server.url, "identity_check": "none"}
        _, uids = killed(tmp_path / "data", settings, lambda: len(server.held) >= IMAGES // 2)
        sent = [str(each.dataset.SOPInstanceUID) for each in server.of("POST")]
        assert server.held.keys() == {*uids} == {*sent}
        assert len(sent) <= len(uids) + 1
