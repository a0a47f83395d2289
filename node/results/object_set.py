"""The objects of one set, each made and judged for itself: what cannot be sent costs itself and not the others.

The report and the pages speak of the others, so they come after them: they say which kind of object is missing, and
refer to none that is. Whether an object is missing follows from the request alone, so equal requests give equal sets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Literal

import structlog
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.config.encoding import Kind
from node.dicom.compressing import compress
from node.errors import NodeError
from node.items import defect_of, frames_of, place_of
from node.ourselves import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.results import documents
from node.results.context import Context
from node.results.errors import NotEncodableError
from node.results.gate.judging import EncodedCandidate, problems_of
from node.results.maps import pm, pr, rtstruct, seg
from node.results.pages import sc
from node.results.report import ko, sr
from node.results.report.regions import check_places
from node.results.request import SetPart, SourceReference

Maker = Callable[[], Dataset]
"""Makes one object, complete but for its file meta information."""

_ORDER: tuple[Kind, ...] = ("seg", "rtstruct", "pm", "sc", "ko", "pr", "pdf", "sr")
"""In which the objects are sent: the report last, because it refers to the others."""
_UNCOMPRESSED = {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}

log = structlog.get_logger(__name__)


def object_set(context: Context) -> ObjectSet:
    """Make and judge all objects of a result, or the report alone where the rest of its set exists.

    Raises `NotEncodableError` where the answer contradicts the images: what is beside its image, of another size, far
    from all images, or of one that the plugin was not given, may be about other images as a whole (case 73 of
    docs/reliability.md).
    """
    _check_answer(context)
    made = ObjectSet(context)
    made.check_label_map()
    kinds = context.request.profile.kinds_for(context.request.result.status)
    if (existing := context.request.belongs_to) is not None:
        made.make_report(existing.companions)
        return made
    for kind, makers in _COMPANIONS.items():
        if kind in kinds:
            made.make(kind, makers)
    if "sc" in kinds:
        made.make_pages()
    if "sr" in kinds:
        made.make_report(made.companions)
        if made.context.lacks("sr") and "sc" in kinds and not made.context.lacks("sc"):
            made.make_pages()  # again: now they have to say that there is no report
    return made


def _check_answer(context: Context) -> None:
    result = context.request.result
    check_places((region for finding in result.findings for region in finding.regions), context.sources)
    for key in result.key_images:
        context.sources.find(key.image.sop_instance_uid, "KeyImage.image", key.image.frame_number)
    for heatmap in result.heatmaps:
        pm.source_frames(context, heatmap)


@dataclass
class ObjectSet:
    """The objects of one set while they are made."""

    context: Context
    """Says what is missing so far."""
    sound: dict[Kind, list[EncodedCandidate]] = field(default_factory=dict)
    refused: list[EncodedCandidate] = field(default_factory=list)
    """What was made, and the gate has found something wrong with."""
    reasons: dict[SetPart, tuple[str, ...]] = field(default_factory=dict)
    """Of each missing part: why, for the site admin."""
    texts: list[str] = field(default_factory=list)
    """Of unexpected exceptions; for the data folder only, as they may hold a patient's data."""

    @property
    def objects(self) -> list[EncodedCandidate]:
        """Those that may leave, in the order in which they are sent."""
        return [one for kind in _ORDER for one in self.sound.get(kind, ())]

    @property
    def companions(self) -> list[tuple[Kind, SourceReference]]:
        """What the report refers to: all but itself."""
        made = [(one.kind, _reference(one.dataset)) for one in self.objects if one.kind != "sr"]
        return [*made, *(("dicom", reference) for reference in self.context.beside)]

    def check_label_map(self) -> None:
        """One that cannot be used is missing for pages and report too; `NotEncodableError`: it is of other images."""
        try:
            _ = self.context.masks
        except NotEncodableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the rest of the result is not
            self._lose({SetPart("mask", 0): (), SetPart("seg", 0): (f"seg: {self._why(error)}",)})

    def make(self, kind: Kind, makers_of: Callable[[Context], Sequence[tuple[int, Maker]]]) -> None:
        """All objects of one kind, other than report and pages."""
        lost: dict[SetPart, tuple[str, ...]] = {}
        try:
            makers = makers_of(self.context)
        except Exception as error:  # noqa: BLE001 - it costs this kind only; the reason is kept
            self._lose({SetPart(kind, 0): (f"{kind}: {self._why(error)}",)})
            return
        for number, maker in makers:
            lost |= self._attempt(kind, SetPart(kind, number), maker)
        if lost and not self.sound.get(kind):
            lost[SetPart(kind, 0)] = ()
        self._lose(lost)

    def make_pages(self) -> None:
        """The pages; pictures that cannot be drawn are left out, and the pages laid out without them."""
        while not self.context.lacks("sc"):
            self.sound.pop("sc", None)
            lost: dict[SetPart, tuple[str, ...]] = {}
            try:
                for number, picture, maker in sc.page_makers(self.context):
                    lost |= self._attempt("sc", SetPart("picture", picture), maker, number)
            except Exception as error:  # noqa: BLE001 - tried again without pictures; the reason is kept
                lost = {SetPart("picture", 0): (f"sc: {self._why(error)}",)}
            if not lost:
                return
            if single := {part: why for part, why in lost.items() if part.number}:
                lost = single  # the summary shows it in small, and may have failed for that alone
            if self.context.lacks("picture"):
                lost = {SetPart("sc", 0): tuple(text for why in lost.values() for text in why)}
            self._lose(lost)
        self.sound.pop("sc", None)

    def make_report(self, companions: Sequence[tuple[Kind, SourceReference]]) -> None:
        """The report, which refers to these objects."""
        self._lose(self._attempt("sr", SetPart("sr", 0), partial(sr.structured_report, self.context, companions)))

    def _attempt(self, kind: Kind, part: SetPart, maker: Maker, number: int = 0) -> dict[SetPart, tuple[str, ...]]:
        """Make one object and judge it; empty where it is sound, else the part that is missing for it, and why."""
        name = f"{kind} {number or part.number}" if number or part.number else kind
        try:
            dataset = maker()
            candidate = EncodedCandidate(
                kind, dataset, file_content(dataset, self.context.request.profile.transfer_syntax)
            )
            problems = problems_of([candidate], self.context, beside=self.objects)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; it costs this object only
            return {part: (f"{name}: {self._why(error)}",)}
        if problems:
            self.refused.append(candidate)
            return {part: problems}
        self.sound.setdefault(kind, []).append(candidate)
        return {}

    def _why(self, error: Exception) -> str:
        """Why an object could not be made; of an unexpected exception the place."""
        if isinstance(error, NodeError):
            return str(error)
        self.texts.append(f"{place_of(error)}: {error}")
        log.error("results.object-failed", place=place_of(error), frames=frames_of(error))
        return defect_of(error)

    def _lose(self, parts: dict[SetPart, tuple[str, ...]]) -> None:
        if parts:
            self.reasons |= parts
            self.context = self.context.without(parts)


# --- what a result holds beside report and pages ------------------------------------------------------


def _segmentations(context: Context) -> list[tuple[int, Maker]]:
    return [(mask.number, partial(seg.segmentation_object, context, mask)) for mask in context.masks]


def _maps(context: Context) -> list[tuple[int, Maker]]:
    maps = enumerate(pm.placed_maps(context), start=1)
    return [(number, partial(pm.parametric_map, context, heatmap, number)) for number, heatmap in maps]


def _selections(context: Context) -> list[tuple[int, Maker]]:
    return [(1, partial(ko.key_object_selection, context))] if context.request.result.key_images else []


def _structure_sets(context: Context) -> list[tuple[int, Maker]]:
    return [(mask.number, partial(rtstruct.structure_set, context, mask)) for mask in context.masks]


def _documents(context: Context) -> list[tuple[int, Maker]]:
    given = enumerate(context.request.result.documents, start=1)
    return [(number, partial(documents.encapsulated, context, document, number)) for number, document in given]


_COMPANIONS: dict[Kind, Callable[[Context], Sequence[tuple[int, Maker]]]] = {
    "seg": _segmentations,
    "rtstruct": _structure_sets,
    "pm": _maps,
    "ko": _selections,
    "pr": pr.presentation_state_makers,
    "pdf": _documents,
}


# --- files --------------------------------------------------------------------------------------------


def _reference(dataset: Dataset) -> SourceReference:
    return SourceReference(
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SOPClassUID),
    )


def file_content(dataset: Dataset, form: Literal["compressed", "explicit", "implicit"]) -> bytes:
    """The Part 10 file, under our own implementation identity instead of highdicom's."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    meta.TransferSyntaxUID = compress(dataset) if form == "compressed" else _UNCOMPRESSED[form]
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
