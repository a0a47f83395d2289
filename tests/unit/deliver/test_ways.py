"""Another way to a destination: a kind, a module, a line in each registry; nothing else knows which way there is."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from pydicom import dcmread

from node.config.destinations import Destination
from node.config.sections import SitePath
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways import registry
from node.deliver.ways.archive import MOST_KINDS, Kind, NotReachedError, Sender
from node.dimse.contexts import MAXIMUM_CONTEXTS
from node.ledger import outages
from node.ledger.delivery import DeliveryStatus
from node.outcome import AnswerReading
from node.stage import Node
from node.wake import Wakes
from tests.support.sites.configurations import with_destinations
from tests.support.sites.outbox_room import OutboxRoom


class ShelfDestination(Destination):
    """A kind that no release has."""

    kind: Literal["shelf"] = "shelf"
    folder: SitePath


class Shelf:
    """Its way: objects are copied into the folder, as long as it is there."""

    is_open = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """By the files that are there."""
        found = [dcmread(path) for path in self.folder.glob("*.dcm")]
        same = [each for each in found if each.StudyInstanceUID == study_instance_uid]
        return [{keyword: str(each.get(keyword) or "") for keyword in keywords} for each in same]

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """By its name."""
        return (self.folder / f"{sop_instance_uid}.dcm").exists()

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        return []

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[Sender]:
        """Nothing to open."""
        if not self.folder.is_dir():
            raise NotReachedError(f"there is no folder {self.folder}")
        yield self

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        """All."""
        return True

    def store(self, file: Path) -> Answer:
        """A code of its own."""
        shutil.copy(file, self.folder / f"{dcmread(file).SOPInstanceUID}.dcm")
        return Answer(AnswerReading.STORED, "copied", "copied")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutboxRoom:
    """An outbox whose destination is a folder."""

    def archive(destination: Destination, ae_title: str) -> Shelf:
        assert isinstance(destination, ShelfDestination)
        return Shelf(destination.folder)

    monkeypatch.setattr(registry, "WAYS", {**registry.WAYS, "shelf": archive})
    made = OutboxRoom(tmp_path / "data", 1)
    destination = ShelfDestination(folder=tmp_path / "out", identity_check="none")
    node = Node(made.ledger, made.data_folder, made.clock, Wakes())
    made.outbox = Outbox("pacs", node, with_destinations(pacs=destination))
    return made


def test_results_and_images_go_another_way_with_the_same_patience(room: OutboxRoom, tmp_path: Path) -> None:
    """They wait while it cannot be reached, arrive once it can, and its own code is kept."""
    (tmp_path / "data").mkdir(exist_ok=True)
    result = room.result("1.2.4", "1.2.4.9")
    images = room.forward("1.2.3", 2)
    room.run()
    assert {room.status(uid) for uid in (result, *images)} == {DeliveryStatus.WAITING}
    outage = outages.get(room.ledger.database, "pacs")
    assert outage is not None
    assert "there is no folder" in outage.why
    (tmp_path / "out").mkdir()
    room.clock.pass_(hours=1)
    room.run()
    assert {room.status(uid) for uid in (result, *images)} == {DeliveryStatus.DELIVERED}
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted([result, *images])
    assert room.of(result).answer == "copied"


def test_an_association_can_name_as_many_kinds_as_a_way_has_to() -> None:
    """PS3.8 9.3.2.2: presentation context IDs are the odd numbers up to 255."""
    assert MOST_KINDS == MAXIMUM_CONTEXTS
