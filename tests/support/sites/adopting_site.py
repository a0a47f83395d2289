"""A site whose archive has a study under another patient or order by the time that a result is ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from node.config.destinations import DicomDestination
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways import registry
from node.deliver.ways.archive import Kind
from node.deliver.ways.dimse import dimse
from node.ledger import deliveries
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job
from node.outcome import AnswerReading
from node.stage import Node
from node.wake import Wakes
from tests.support.clocks import HandClock
from tests.support.results import reports
from tests.support.sites.configurations import with_destinations
from tests.support.sites.result_site import PACS, ResultSite

STUDY = reports.STUDY_UID


class ForgetfulArchive:
    """Says what a test lets it say of the study; keeps what it gets."""

    def __init__(self, says: Mapping[str, str]) -> None:
        self.says = dict(says)
        self.got: list[Dataset] = []
        self.is_open = True
        self.refuses = ""
        """SOP class that it does not take."""

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return [{keyword: self.says.get(keyword, "") for keyword in keywords}]

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        return False

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """None of ours."""
        return []

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        """None of ours."""
        return []

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[ForgetfulArchive]:
        yield self

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return sop_class != self.refuses

    def store(self, file: Path) -> Answer:
        dataset = dcmread(file)
        if dataset.SOPClassUID == self.refuses:
            return Answer(AnswerReading.CLASS_REFUSED, "refuses this class", dimse(0x0122))
        self.got.append(dataset)
        return Answer(AnswerReading.STORED, "0000", dimse(0))


class AdoptingSite:
    """A result that is ready, the archive that is to get it, and the outbox between."""

    def __init__(self, folder: Path, policy: str = "adopt", others: Sequence[str] = (), **reached: Any) -> None:
        """`reached`: settings of a real destination; without them a `ForgetfulArchive` is asked."""
        named: dict[str, Any] = {name: {} for name in ("pacs", *others)}
        self.site = ResultSite(folder, **named)
        clock = self.site.clock
        assert isinstance(clock, HandClock)
        self.clock = clock
        self.settings = {"on_identity_change": policy} | reached
        self.is_real = bool(reached)
        image = reports.ct(1)
        self.images = {
            "StudyInstanceUID": STUDY,
            **{
                keyword: str(image.get(keyword, ""))
                for keyword in ("PatientID", "AccessionNumber", "PatientName", "PatientBirthDate", "PatientSex")
            },
        }
        self.archive = ForgetfulArchive(self.images)
        self.restart()

    def restart(self) -> None:
        """The outbox, as after the node died."""
        destination = DicomDestination.model_validate(PACS | self.settings)
        node = Node(self.site.ledger, self.site.data_folder, self.site.clock, Wakes())
        archive_of = registry.archive_of if self.is_real else lambda *_: self.archive
        self.outbox = Outbox("pacs", node, with_destinations(pacs=destination), archive_of)

    def report(self, rule: str = "a rule") -> Job:
        """A job that ends, and its objects in the outbox."""
        job = self.site.ended(reports.measured(), rule=rule)
        self.site.results.run_once()
        return job

    def merged(self, **says: str) -> None:
        """The archive has the study under this from now on."""
        self.archive.says = self.images | {"PatientID": "MERGED-1", "PatientName": "Archive^Name"} | says

    def pass_(self, seconds: float) -> None:
        """Time goes by, and both stages run."""
        self.clock.pass_(seconds=seconds)
        self.outbox.run_once()
        self.site.results.run_once()

    def statuses(self) -> list[DeliveryStatus]:
        return sorted({each.status for each in deliveries.of_study(self.site.ledger.database, STUDY)})

    def holds(self) -> set[str]:
        found = deliveries.of_study(self.site.ledger.database, STUDY)
        return {each.hold for each in found if each.hold}
