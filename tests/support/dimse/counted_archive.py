"""A destination in this process that counts its associations, refuses too many, goes down and comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread

from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind, NotAdmittedError, NotReachedError
from node.deliver.ways.dimse import dimse
from node.errors import TransientError
from node.outcome import AnswerReading

STORED = Answer(AnswerReading.STORED, "0000, stored", dimse(0))
FULL = Answer(AnswerReading.RETRY, "A700, out of resources", dimse(0xA700))
SILENT = Answer(AnswerReading.UNKNOWN, "no answer")
ALREADY = Answer(AnswerReading.ASK, "0111, duplicate SOP instance", dimse(0x0111))


class CountedArchive:
    """Safe for many threads. C-FIND is an association, too."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.is_down = False
        self.rejects = False
        self.absent: set[str] = set()
        """Studies that it does not know."""
        self.asks_in_vain = False
        self.answer: Callable[[str], Answer] = lambda _: STORED
        """What it says of an object, by its SOP Instance UID."""
        self.changed = threading.Condition()
        self.open = self.most = self.tries = self.questions = 0
        self.associations: list[list[str]] = []
        """What was handed over on each, in its order."""
        self.stored: list[str] = []

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """The patient of `tests.support.images.receipts.ct`."""
        with self._association():
            self.questions += 1
            if self.asks_in_vain:
                raise TransientError("no answer to the C-FIND")
            identity = {"StudyInstanceUID": study_instance_uid, "PatientID": "P1", "AccessionNumber": "A1"}
            return [] if study_instance_uid in self.absent else [identity]

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """All of them."""
        with self._association():
            return True

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """None of ours."""
        return []

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        """None of ours."""
        return []

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[_Association]:
        """For objects of any kind."""
        with self._association():
            association = _Association(self)
            self.associations.append(association.uids)
            yield association

    @contextmanager
    def _association(self) -> Iterator[None]:
        with self.changed:
            self.tries += 1
            if self.rejects:
                raise NotAdmittedError("calling AE title not recognised")
            if self.is_down:
                raise NotReachedError("connection refused")
            if self.limit is not None and self.open >= self.limit:
                raise NotReachedError("local limit exceeded")
            self.open += 1
            self.most = max(self.most, self.open)
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self.open -= 1
                self.changed.notify_all()


class _Association:
    def __init__(self, archive: CountedArchive) -> None:
        self._archive = archive
        self.is_open = True
        self.uids: list[str] = []

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return True

    def store(self, file: Path) -> Answer:
        uid = str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)
        answer = self._archive.answer(uid)
        self.uids.append(uid)
        if answer.reading is AnswerReading.UNKNOWN:
            self.is_open = False
        if answer.reading in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING):
            with self._archive.changed:
                self._archive.stored.append(uid)
                self._archive.changed.notify_all()
        return answer
