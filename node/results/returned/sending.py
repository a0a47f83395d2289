"""The returned objects of one set, written for a destination: as objects of this node, or as they came."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from node.dicom.confidentiality.mapped_back import WayBack
from node.dicom.object_file import SERIES, SOP_INSTANCE
from node.errors import NodeError
from node.items import defect_of, frames_of, place_of
from node.results.context import Context
from node.results.encoded import EncodedObject
from node.results.gate.standard import problems_by_standard
from node.results.request import SetPart, SourceReference
from node.results.returned import marking
from node.results.returned.describing import ObjectToSend, grouped, objects_of
from node.store.durable import sync_folder

_MOST_JUDGED = 64 * 2**20
"""Bytes of an object that is compared with the Standard: all of it is read for that."""
_MOST_ADVICE = 20
_UID_TAKEN = "sent marked and under new UIDs: something else has the SOP Instance UID of an object of the program"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReturnedSet:
    """What was written."""

    context: Context
    """Knows what is missing, and what report and pages say of the objects."""
    objects: tuple[EncodedObject, ...] = ()
    reasons: tuple[str, ...] = ()
    """Of each that is missing, why."""
    advice: tuple[str, ...] = ()
    """In what those that are sent differ from the Standard."""


def returned_set(context: Context, folder: Path) -> ReturnedSet:
    """Write the objects that the plugin returned into `folder`, where the destination takes such.

    What goes wrong with one of them costs that one. Report and pages name them all.
    """
    request = context.request
    if not request.result.objects:
        return ReturnedSet(context)
    texts, objects = context.texts, list(objects_of(request.result.objects))
    if "dicom" not in request.profile.kinds_for(request.result.status):
        lines = [texts.returned_not_sent.format(what=what) for what in grouped(objects)]
        return ReturnedSet(replace(context, returned=tuple(lines)))
    if request.belongs_to is not None:  # they were written with the rest of the set
        there = [each for each in objects if not context.lacks("dicom", each.number)]
        return ReturnedSet(replace(context, returned=tuple(_lines(context, there))))
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(context, folder, objects)
    for one in objects:
        writer.write(one)
    if writer.lost and not writer.written:
        writer.lost[SetPart("dicom", 0)] = ""
    odd = [f"{one.kind}: {len(writer.advice[one.number])}" for one in objects if writer.advice.get(one.number)]
    lines = [*_lines(context, writer.sent), *([texts.returned_odd.format(what=", ".join(odd[:5]))] if odd else [])]
    advice = [_UID_TAKEN] if request.returned.uid_taken else []
    advice += [text for found in writer.advice.values() for text in found]
    sync_folder(folder)
    return ReturnedSet(
        replace(context.without(writer.lost), returned=tuple(lines), beside=tuple(map(_reference, writer.written))),
        tuple(writer.written),
        tuple(why for why in writer.lost.values() if why),
        tuple(advice[:_MOST_ADVICE]),
    )


def _lines(context: Context, sent: Iterable[ObjectToSend]) -> Iterator[str]:
    yield from (context.texts.returned.format(what=what) for what in grouped(sent))


def _reference(made: EncodedObject) -> SourceReference:
    return SourceReference(made.study_instance_uid, made.series_instance_uid, made.sop_instance_uid, made.sop_class_uid)


class _Writer:
    """Writes one object after the other."""

    def __init__(self, context: Context, folder: Path, objects: list[ObjectToSend]) -> None:
        self._context = context
        self._folder = folder
        self._marks = context.request.returned.mark or context.request.adopted is not None
        self._new = self._new_uids(objects)
        known = {image.reference for image in context.sources.images} | set(context.request.evidence)
        of_images = {uid for each in known for uid in (each.sop_instance_uid, each.series_instance_uid)}
        self._references = WayBack({old: new for old, new in self._new.items() if old not in of_images})
        self.written: list[EncodedObject] = []
        self.sent: list[ObjectToSend] = []
        self.lost: dict[SetPart, str] = {}
        self.advice: dict[int, tuple[str, ...]] = {}

    def _new_uids(self, objects: list[ObjectToSend]) -> dict[str, str]:
        """Of objects and their series: derived from the job and the UIDs that they came with."""
        if not self._marks:
            return {}
        uids = self._context.uids
        series = {each.series_instance_uid: uids.part(f"returned {each.series_instance_uid}") for each in objects}
        return series | {
            each.sop_instance_uid: uids.instance(each.sop_class_uid, f"returned {each.sop_instance_uid}")
            for each in objects
        }

    def write(self, one: ObjectToSend) -> None:
        """Write it, or note that it is lost."""
        path = self._folder / f"dicom-{one.number:03d}.dcm"
        try:
            digest = self._written(one, path)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the rest of the set is not
            path.unlink(missing_ok=True)
            self._lose(one, error)
            return
        series, instance = one.numbers
        uids = [self._new.get(uid, uid) for uid in (one.sop_instance_uid, one.series_instance_uid)]
        study = str(self._context.identity.StudyInstanceUID)
        made = EncodedObject("dicom", one.sop_class_uid, uids[0], uids[1], study, series, instance, path, digest)
        self.written.append(replace(made, changes=self._context.changes))
        self.sent.append(one)
        if path.stat().st_size <= _MOST_JUDGED:
            found = problems_by_standard(path.read_bytes())
            self.advice[one.number] = tuple(f"object {one.number} of the program: {text}" for text in found)

    def _written(self, one: ObjectToSend, path: Path) -> str:
        """Write the file durably; its SHA-256."""
        digest = hashlib.sha256()
        with path.open("wb") as out:
            for piece in self._pieces(one):
                out.write(piece)
                digest.update(piece)
            out.flush()
            os.fsync(out.fileno())
        return digest.hexdigest()

    def _pieces(self, one: ObjectToSend) -> Iterable[bytes | memoryview]:
        file = one.read()
        contents = file.contents
        if not self._marks and not self._context.request.returned.hidden:
            return [file.file]
        written = {"implicit": file.is_implicit, "little": contents.little}
        elements = marking.with_identity(self._references.elements(contents.elements), self._context, **written)
        if self._marks:
            elements = marking.marked(elements, one, self._context, **written)
            new = {SOP_INSTANCE: self._new[one.sop_instance_uid], SERIES: self._new[one.series_instance_uid]}
            elements = marking.with_uids(elements, new)
        return file.with_elements(elements)

    def _lose(self, one: ObjectToSend, error: Exception) -> None:
        why = str(error) if isinstance(error, NodeError) else defect_of(error)
        if not isinstance(error, NodeError):
            log.error("results.object-failed", place=place_of(error), frames=frames_of(error))
        self.lost[SetPart("dicom", one.number)] = f"dicom {one.number}: {why}"
