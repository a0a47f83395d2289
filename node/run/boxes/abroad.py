"""Answers that do not come here: what an archive has of a study that it did not have before, and that nobody else made.

With `answers: {from: DEST}` the box stores in an archive, and the node fetches from there. With `elsewhere` it delivers
straight to the PACS, and the node only asks whether something came. An archive says nothing of who sent a series: what
is new in the study since the images left, and is neither the node's own nor an image that it received, is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.errors import PermanentError
from node.ledger import boxes, instances, objects
from node.ledger.boxes import BoxAttempt
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job
from node.stage import Node
from plugins.boxes import AnswerKind

_KEYWORDS = ("Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances")
_MODALITIES = {
    "SR": AnswerKind.SR,
    "SEG": AnswerKind.SEG,
    "KO": AnswerKind.KO,
    "PR": AnswerKind.PR,
    "RTSTRUCT": AnswerKind.RTSTRUCT,
    "DOC": AnswerKind.PDF,
    "OT": AnswerKind.SC,
}
"""What a series holds, by its Modality (PS3.3 C.7.3.1.1.1): an archive need not say the SOP class."""


class SeriesArchive(Protocol):
    """What is asked of an archive (`node.dimse.retrieve_scu.QueryRetrieve`)."""

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """The series of a study."""
        ...

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str, within: float) -> int | None:
        """Have it send a series, in at most `within` seconds; how many images it has sent, None if it does not say."""
        ...


ArchiveOf = Callable[[DicomDestination, str], SeriesArchive]
"""Makes what is asked of a destination; the text is the AE title of this node."""


@dataclass(frozen=True, slots=True)
class ArchivedSeries:
    """A series that an archive has."""

    uid: str
    modality: str
    description: str
    instances: int | None
    """None where the archive does not say."""

    @property
    def kind(self) -> AnswerKind:
        """The kind of its objects."""
        return _MODALITIES.get(self.modality, AnswerKind.IMAGE)


class Abroad:
    """For the stage of one box."""

    def __init__(self, node: Node, box: str, archive_of: ArchiveOf) -> None:
        self._node, self._box, self._archive_of = node, box, archive_of

    def use(self, configuration: Configuration) -> None:
        """Ask its archives."""
        self._settings = configuration.boxes[self._box]
        self._archives = dicom_destinations(configuration.destinations)
        self._ae_title = configuration.node.ae_title

    @property
    def is_used(self) -> bool:
        """Whether the answers of the box do not come here."""
        return self._settings.answers != "here"

    @property
    def fetches(self) -> bool:
        """Whether they are fetched."""
        return self._settings.archive is not None

    def name_for(self, job: Job) -> str:
        """The archive that is asked for a job: PermanentError where none of its destinations is one."""
        wanted = [self._settings.archive] if self._settings.archive else job.destinations
        found = next((name for name in wanted if name in self._archives), None)
        if found is None:
            raise PermanentError("none of the destinations of the job can be asked whether the answer came")
        return found

    def before(self, job: Job) -> frozenset[str]:
        """The series that the archive has of the study before the box gets it; raises as C-FIND does."""
        return frozenset(each.uid for each in self._series(job))

    def new(self, job: Job, known: BoxAttempt) -> list[ArchivedSeries]:
        """The series that came since, by their UIDs; raises as C-FIND does."""
        database, study = self._node.ledger.database, job.study_instance_uid
        received = instances.of_study(database, study, [each for each in InstanceStatus if each not in _NOT_IMAGES])
        others = {each.series_instance_uid for each in received} | objects.series_of_study(database, study)
        others |= set(known.series_before or ()) | boxes.series_of_others(database, known.attempt, study)
        return sorted((each for each in self._series(job) if each.uid not in others), key=lambda each: each.uid)

    def fetch(self, job: Job, attempt: str, series: Sequence[ArchivedSeries], within: float) -> None:
        """Have the archive send them; what comes is known by a row for each. Raises as C-MOVE does."""
        name = self.name_for(job)
        self.note(attempt, series, name)
        archive = self._archive_of(self._archives[name], self._ae_title)
        for each in series:
            archive.move(job.study_instance_uid, each.uid, self._ae_title, within)

    def note(self, attempt: str, series: Sequence[ArchivedSeries], source: str) -> None:
        """These series are answers of the box: whoever sends them later, they are no images of the study."""
        with self._node.ledger.transaction() as database:
            boxes.answered_in(database, attempt, self._box, source, [each.uid for each in series])

    def _series(self, job: Job) -> list[ArchivedSeries]:
        archive = self._archive_of(self._archives[self.name_for(job)], self._ae_title)
        return [
            ArchivedSeries(
                each["SeriesInstanceUID"].strip(),
                each.get("Modality", "").strip().upper(),
                each.get("SeriesDescription", "").strip(),
                _number(each.get("NumberOfSeriesRelatedInstances", "")),
            )
            for each in archive.find_series(job.study_instance_uid, _KEYWORDS)
            if each.get("SeriesInstanceUID", "").strip()
        ]


_NOT_IMAGES = (InstanceStatus.ANSWER, InstanceStatus.OWN)


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def listed(series: Sequence[ArchivedSeries]) -> str:
    """As in `2 series (SR, SEG)`; no text that somebody typed."""
    modalities = ", ".join(dict.fromkeys(each.modality or "?" for each in series))
    return f"{len(series)} series ({modalities})"
