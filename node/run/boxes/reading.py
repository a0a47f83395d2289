"""What DICOM files say of patient, study and the instances that they refer to; in a child, as they may be hostile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.errors import PermanentError
from node.processes.pool import ChildError, ChildPool

_REFERENCED_INSTANCE = 0x00081155
_SECONDS = 60.0
_SECONDS_A_FILE = 5.0
_MEMORY = 2**30
_MOST_REFERENCES = 100_000
_BATCH = 64
"""Files that are read in one call."""
log = structlog.get_logger(__name__)


class AnswerUnreadableError(PermanentError):
    """A file cannot be read as DICOM; the text is for the admin."""


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """What one file says."""

    sop_instance_uid: str
    study_instance_uid: str
    patient_id: str
    references: frozenset[str] = frozenset()
    """Every Referenced SOP Instance UID (0008,1155), at whatever depth."""


def read(pool: ChildPool, paths: Sequence[Path]) -> list[DicomHeader]:
    """The headers of these files; AnswerUnreadableError, CallCancelledError."""
    found: list[DicomHeader] = []
    for start in range(0, len(paths), _BATCH):
        some = list(paths[start : start + _BATCH])
        try:
            found += pool.call(headers, some, deadline=_SECONDS + _SECONDS_A_FILE * len(some), memory=_MEMORY)
        except ChildError as error:
            raise AnswerUnreadableError(f"it cannot be read: {error}") from error
    return found


def headers(paths: Sequence[Path]) -> list[DicomHeader]:
    """In the child: what `read` returns."""
    return [_header(path) for path in paths]


def _header(path: Path) -> DicomHeader:
    try:
        dataset = dcmread(path, stop_before_pixels=True, force=True)
        references = frozenset(uid for uid, _ in zip(_references(dataset), range(_MOST_REFERENCES), strict=False))
        texts = [_text(dataset, keyword) for keyword in ("SOPInstanceUID", "StudyInstanceUID", "PatientID")]
    except Exception as error:  # noqa: BLE001 - pydicom fails in many ways on what is not right
        log.warning("run.answer-not-read", error=type(error).__name__)  # not its text, which may hold patient data
        raise AnswerUnreadableError("its header cannot be read as DICOM") from None
    return DicomHeader(texts[0], texts[1], texts[2], references)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _references(dataset: Dataset) -> Iterator[str]:
    waiting = [dataset]
    while waiting:
        for element in waiting.pop():
            if element.VR == "SQ":
                waiting.extend(element.value or ())
            elif element.tag == _REFERENCED_INSTANCE:
                yield str(element.value or "").strip(" \0")
