"""All DICOM objects of a result: each is checked, mapped back and kept, or left out and said why."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from node.dicom.object_file import ObjectFile, read_mapped
from node.errors import PermanentError
from node.own_notes import OwnNote
from node.run.returned import scores
from node.run.returned.checking import NotTakenError, ObjectOfPlugin, check_identity, described
from node.run.returned.given import GivenIdentity
from plugins import limits, object_files
from plugins.allowed_parts import AllowedParts
from plugins.contract import Finding, Result, ResultStatus, ReturnedObject
from plugins.untrusted import ExchangeError
from plugins.vendor_scores import VendorScore

_MODALITY = 0x00080060
_MOST_SAID = 10
"""Objects that are left out of which each is said."""
_ANSWERS = (ResultStatus.FINDINGS, ResultStatus.NO_FINDINGS)


@dataclass(frozen=True, slots=True)
class TakenObjects:
    """What is left of a result's objects."""

    result: Result
    """With the objects that were taken, as files in the folder where they are kept."""
    objects: tuple[ObjectOfPlugin, ...]
    told: tuple[str, ...]
    """Of each object that was left out, why; and what else of the objects a person should know."""


@dataclass(frozen=True, slots=True)
class TakingTask:
    """What is asked of the objects of one result."""

    source: Path
    """The plugin's `out/`."""
    target: Path
    """The `out/` in which they are kept."""
    given: GivenIdentity
    images: frozenset[str]
    """The true SOP Instance UIDs that the plugin was given."""
    announced: bool
    """Whether the manifest says that DICOM is returned, so that nothing is worth a word."""
    marked: bool
    """Whether they get UIDs of their own when they are sent."""
    allowed: AllowedParts
    """What findings of reports may refer to."""
    scores: tuple[VendorScore, ...] = ()
    """Where objects without codes have their scores."""


def take(result: Result, task: TakingTask) -> TakenObjects:
    """Copy the objects of a result, checked and mapped back.

    ExchangeError where a result says nothing but its objects, and none of them can be taken. OSError.
    """
    keeper = _Keeper(task)
    for number, each in enumerate(result.objects, start=1):
        keeper.take(number, each)
    refused = tuple(f"object {number} of the program: {why}" for number, why in keeper.refused)
    if result.objects and not keeper.kept and not result.findings and not result.pictures:
        raise ExchangeError("out/result.json", "$.objects", f"none can be sent: {'; '.join(refused[:_MOST_SAID])}")
    notes = [*_said(keeper.refused), *result.quality]  # ours first: a program that has many must not crowd them out
    if task.announced and not result.objects and result.status in _ANSWERS:
        notes.insert(0, OwnNote.NOTHING_CAME)
    left = replace(result, objects=tuple(keeper.kept), quality=tuple(notes[: limits.NOTES]))
    if keeper.findings:
        from node.run.returned import reports  # as in `_read`

        left = replace(left, **reports.with_findings(left, keeper.findings))
        left = replace(left, quality=left.quality[: limits.NOTES])
    return TakenObjects(left, tuple(keeper.objects), (*refused, *keeper.not_read, *keeper.unknown_references()))


def _said(refused: Sequence[tuple[int, str]]) -> Iterator[str]:
    """What a reader should know of what is not sent."""
    yield from (OwnNote.NOT_SENT.format(number=number, why=why) for number, why in refused[:_MOST_SAID])
    if len(refused) > _MOST_SAID:
        yield OwnNote.MORE_NOT_SENT.format(count=len(refused) - _MOST_SAID)


class _Keeper:
    """Takes one object after the other."""

    def __init__(self, task: TakingTask) -> None:
        self._task = task
        self.kept: list[ReturnedObject] = []
        self.objects: list[ObjectOfPlugin] = []
        self.refused: list[tuple[int, str]] = []
        """Number and reason of each that is left out."""
        self.findings: list[Finding] = []
        """What the objects say."""
        self.not_read: list[str] = []
        """What they say that is not understood."""

    def take(self, number: int, returned: ReturnedObject) -> None:
        """Keep it, or note why not."""
        try:
            with object_files.open_object(self._task.source, returned.file) as file:
                self._keep(number, read_mapped(file))
        except (NotTakenError, PermanentError, ValueError) as error:
            self.refused.append((number, str(error)))

    def unknown_references(self) -> Iterator[str]:
        """Of each object that refers to what the plugin was not given."""
        known = self._task.images | {each.sop_instance_uid for each in self.objects}
        for each in self.objects:
            if unknown := len(each.references - known):
                yield f"object {each.number} of the program refers to {unknown} instances that it was not given"

    def _keep(self, number: int, found: ObjectFile) -> None:
        check_identity(found, self._task.given)
        elements = self._task.given.way_back.elements(found.contents.elements)
        told = described(number, found, elements, self._task.images)
        if told.sop_instance_uid in {each.sop_instance_uid for each in self.objects}:
            raise NotTakenError(OwnNote.SAME_UID)
        if told.of_image and not self._task.marked:
            raise NotTakenError(OwnNote.UID_OF_IMAGE)
        if found.contents.loose and not self._task.marked:  # else it is left out
            raise NotTakenError(OwnNote.LOOSE.format(bytes=found.contents.loose))
        unchanged = elements is found.contents.elements
        path = self._task.target / object_files.FOLDER / f"{number:06d}.dcm"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as out:
            for piece in [found.file] if unchanged else found.with_elements(elements):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        self.kept.append(ReturnedObject(path))
        self.objects.append(told)
        self._read(number, found, path)

    def _read(self, number: int, found: ObjectFile, path: Path) -> None:
        """Its findings: those of a measurement report, and scores where the manifest says."""
        findings, problems = scores.findings_of(found, self._task.scores)
        if found.text(_MODALITY) == "SR":
            from node.reading.reader import NotAReportError  # takes a while to import, and few plugins return reports
            from node.run.returned import reports

            try:
                findings += reports.findings_of(path, self._task.allowed)
            except NotAReportError:
                if not findings:  # of its scores
                    problems.append("a structured report that is not a measurement report (TID 1500)")
        self.findings += findings
        self.not_read += [f"object {number} of the program: not understood: {each}" for each in problems]
