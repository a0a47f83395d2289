"""Every kind of result × every kind of source image × every character set, whole or in pairs; profiles always in pairs.

What a destination can ask for makes other objects too: the class of the report, regions that viewers take over, label
maps. These settings are `SETTINGS`; twelve profiles hold each pair of them (`PROFILES`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from highdicom._standard_utils import get_sop_class_iod_map
from highdicom.seg import segread
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from node.config.encoding import EncodingProfile, Kind
from node.results.encoded import EncodedObject
from node.results.request import EncodingRequest, SourceReference
from node.results.source.references import LABEL_MAP_STORAGE
from plugins.contract import (
    Code,
    Finding,
    ImageReference,
    Measurement,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
    Site,
    Unit,
)
from tests.support.images import broken_sources
from tests.support.images.broken_sources import FORMS, IDENTIFYING, attributes, image_attributes
from tests.support.programs.validators import dciodvfy, dicom_sr_validator, inflated
from tests.support.results import reports
from tests.support.results.vendors import VENDORS

EARLIER = SourceReference(reports.STUDY_UID, "1.2.7", "1.2.7.1", "1.2.840.10008.5.1.4.1.1.88.33")
_KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"


@dataclass(frozen=True)
class Texts:
    """A patient's name as bytes, the label that the image gives them, and the name that has to arrive."""

    label: str
    raw: bytes
    name: str


def _texts(label: str, name: str, encoding: str) -> Texts:
    return Texts(label, name.encode(encoding), name)


CHARACTER_SETS = {
    "ascii": _texts("", "Hong^Gildong", "ascii"),
    "latin-1": _texts("ISO_IR 100", "Müller^Jörg", "latin-1"),
    "korean": Texts(
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C"
        + "洪".encode("euc_kr")
        + b"^\x1b$)C"
        + "吉洞".encode("euc_kr")
        + b"=\x1b$)C"
        + "홍".encode("euc_kr")
        + b"^\x1b$)C"
        + "길동".encode("euc_kr"),
        _KOREAN,
    ),
    "japanese": Texts(
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "chinese": Texts(
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A" + "张".encode("gb2312") + b"^\x1b$)A" + "小东".encode("gb2312") + b"=",
        "Zhang^XiaoDong=张^小东",
    ),
    "gb18030": _texts("GB18030", "Wang^XiaoDong=王^小东", "gb18030"),
    "utf-8": _texts("ISO_IR 192", _KOREAN, "utf-8"),
    "wrong": Texts("ISO_IR 100", _KOREAN.encode("utf-8"), _KOREAN),
    "missing": Texts("", _KOREAN.encode("utf-8"), _KOREAN),
}


def _segmented(kind: str) -> Result:
    """Another mask on each frame, so that none can take another's place."""
    result = reports.segmented(reports.frames(kind))
    assert result.segmentation is not None
    moved = np.stack([np.roll(plane, number, axis=0) for number, plane in enumerate(result.segmentation.planes)])
    return replace(result, segmentation=replace(result.segmentation, labels=moved))


def _segmented_mixed(kind: str) -> Result:
    """Findings of several kinds: PixelMed judges all groups of a report by one template."""
    result = _segmented(kind)
    absent = Finding(reports.PNEUMOTHORAX, present=False)
    return Result(result.status, result.summary, (*result.findings, absent), segmentation=result.segmentation)


def _lesion(kind: str) -> Result:
    """One lesion on one of the images or frames."""
    result = reports.segmented(frames := reports.frames(kind))
    assert result.segmentation is not None
    lesion = Segment(7, "Nodule A", reports.ABNORMALITY, reports.NODULE)
    labels = np.zeros((1, reports.ROWS, reports.COLUMNS), dtype=np.uint8)
    labels[0, 20:30, 15:27] = 7
    area = Measurement(Code("42798000", "SCT", "Area"), 4.8, Unit("cm2", "square centimeter"))
    finding = Finding(reports.NODULE, present=True, measurements=(area,), segments=(7,), tracking_id="Nodule A")
    return Result(
        ResultStatus.FINDINGS, "One nodule.", (finding,), segmentation=Segmentation(labels, (frames[1],), (lesion,))
    )


def _partly_measured(_kind: str) -> Result:
    site = Site(reports.LUNG, reports.RIGHT)
    finding = Finding(reports.DENSITY, site=site, measurements=reports.density(reports.RIGHT, 2801.0, 8.1, None))
    return Result(ResultStatus.FINDINGS, "Perc15 could not be computed.", (finding,))


def _of(make: Callable[[ImageReference], Result]) -> Callable[[str], Result]:
    return lambda kind: make(reports.reference(kind))


RESULTS: dict[str, Callable[[str], Result]] = {
    **{name: _of(make) for name, make in reports.RESULTS.items()},
    **{name: _of(make) for name, make in VENDORS.items()},
    "segmented": _segmented,
    "segmented-mixed": _segmented_mixed,
    "lesion": _lesion,
    "partly-measured": _partly_measured,
}


# --- what destinations ask for ------------------------------------------------------------------------

SETTINGS: dict[str, tuple[Any, ...]] = {
    "sr_class": ("comprehensive", "comprehensive-3d", "enhanced"),
    "maps": ("binary", "label-map", "whole", "not sent"),
    "editable": (False, True),
    "sc_form": ("single", "multi-frame"),
    "sc_modality": ("OT", "source"),
    "language": ("en", "ko"),
    "character_set": ("utf-8", "source"),
    "transfer_syntax": ("compressed", "implicit"),
    "series_text": ("", "chest"),
    "mode": ("pilot", "clinical"),
    "supersedes": (False, True),
}
"""What a destination's profile, the rule's mode and an earlier report can be: all that makes objects different but for
the numbers of series, and Explicit VR, which is compressed's for what has no pixels. maps: segmentations in which form;
binary beside whole heat maps; or neither."""


def _in_pairs() -> list[dict[str, Any]]:
    """Twelve profiles which hold each pair of two settings' values: each class of report with each form of
    segmentation, and for each further setting the first order of its values that meets all values of all others."""
    names = list(SETTINGS)
    columns = list(zip(*product(SETTINGS[names[0]], SETTINGS[names[1]]), strict=True))
    for name in names[2:]:
        orders = product(SETTINGS[name], repeat=len(columns[0]))
        columns.append(next(order for order in orders if all(_meet(order, column) for column in columns)))
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _meet(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(set(zip(one, other, strict=True))) == len(set(one)) * len(set(other)) and len(set(one)) > 1


PROFILES = _in_pairs()


Pairs = set[tuple[tuple[str, Any], ...]]
"""Of two factors of a case, each with its name and its value."""


@dataclass(frozen=True)
class Case:
    """One combination."""

    result: str
    source: str
    characters: str
    profile: int
    """Index in `PROFILES`."""
    untidy: int | None = None
    """Where in the forms of broken attributes its images begin; None: they are as they should be."""

    @property
    def name(self) -> str:
        untidy = "" if self.untidy is None else f"-untidy-{self.untidy}"
        return f"{self.result}-{self.source}-{self.characters}-{self.profile}{untidy}"

    @property
    def factors(self) -> dict[str, Any]:
        """Every factor's value, by its name: the three of the matrix and each setting of the profile."""
        return {"result": self.result, "source": self.source, "characters": self.characters, **PROFILES[self.profile]}

    @property
    def core(self) -> Pairs:
        """The pairs among the three, which are the hardest to have all of."""
        return set(combinations((("result", self.result), ("source", self.source), ("characters", self.characters)), 2))

    @property
    def pairs(self) -> Pairs:
        """Each pair of two factors' values."""
        return set(combinations(self.factors.items(), 2))


def every_pair() -> Pairs:
    """Each value of each factor with each of each other."""
    factors = {"result": tuple(RESULTS), "source": tuple(reports.SOURCES), "characters": tuple(CHARACTER_SETS)}
    values = [[(name, value) for value in of] for name, of in (factors | SETTINGS).items()]
    return {pair for one, other in combinations(values, 2) for pair in product(one, other)}


def every_case() -> list[Case]:
    """All combinations of the three; each result meets all profiles on each kind of image."""
    cases = []
    for number, (result, source) in enumerate(product(RESULTS, reports.SOURCES)):
        for place, characters in enumerate(CHARACTER_SETS):
            cases.append(Case(result, source, characters, (number + place) % len(PROFILES)))
    return cases


def _turned(items: list[Any], by: int) -> list[Any]:
    return items[by % len(items) :] + items[: by % len(items)]


def pairwise() -> list[Case]:
    """Few cases in which each pair of two factors' values occurs: greedily, always the same ones."""
    cases: list[Case] = []
    covered: Pairs = set()
    for number, (result, source) in enumerate(product(RESULTS, reports.SOURCES)):
        turned = _turned(list(CHARACTER_SETS), number + number // len(reports.SOURCES))
        rest = product(turned, _turned(list(range(len(PROFILES))), number))
        candidates = [Case(result, source, *more) for more in rest]
        cases.append(max(candidates, key=lambda case: (len(case.core - covered), len(case.pairs - covered))))
        covered |= cases[-1].pairs
    return cases


def every_untidy_case() -> list[Case]:
    """Each result on each kind of image, untidy, character sets and profiles in turn."""
    characters = list(CHARACTER_SETS)
    return [
        Case(result, source, characters[turn % len(characters)], turn % len(PROFILES), turn % len(FORMS))
        for number, (result, source) in enumerate(product(RESULTS, reports.SOURCES))
        for turn in (number + number // len(reports.SOURCES),)
    ]


def untidy_cases() -> list[Case]:
    """Of those one for each kind of image, each with another result."""
    step = len(reports.SOURCES) + 1
    return every_untidy_case()[::step][: len(reports.SOURCES)]


_CERTAIN = IDENTIFYING | {
    *("Rows", "Columns", "NumberOfFrames", "FrameOfReferenceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
}
"""What is right in untidy images too: who and where they are of, so that masks and maps can be held against them."""


def _forms(image: Dataset, turn: int) -> dict[str, str]:
    """A form for each attribute of an image that describes it."""
    of_image = image_attributes(image.SOPClassUID) if image.SOPClassUID in get_sop_class_iod_map() else {}
    keywords = sorted({*attributes(), *of_image} - _CERTAIN)
    return {keyword: FORMS[(number + turn) % len(FORMS)] for number, keyword in enumerate(keywords)}


def _write(image: Dataset, case: Case, path: Path) -> Path:
    """Write an image so that the name is the case's very bytes under its label, as senders write them."""
    texts = CHARACTER_SETS[case.characters]
    image.pop("SpecificCharacterSet", None)
    image.PatientName = placeholder = "X" * (len(texts.raw) + len(texts.raw) % 2)
    if texts.label:
        image.SpecificCharacterSet = texts.label.split("\\") if "\\" in texts.label else texts.label
    if case.untidy is None:
        reports.write(image, path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        broken_sources.write(image, _forms(image, case.untidy), path)
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), texts.raw + b" " * (len(texts.raw) % 2)))
    return path


def request(case: Case, folder: Path, *, pages: bool = True) -> EncodingRequest:
    """The request of one case."""
    numbers = (1,) if case.source in reports.MULTI_FRAME else (1, 2, 3)
    images = (reports.SOURCES[case.source](number) for number in numbers)
    paths = [_write(image, case, folder / f"{number:03d}.dcm") for number, image in zip(numbers, images, strict=True)]
    settings = dict(PROFILES[case.profile])
    changes = {"mode": settings.pop("mode"), "supersedes": (EARLIER,) if settings.pop("supersedes") else ()}
    maps = settings.pop("maps")
    kinds: set[Kind] = {"sr", "ko", "pr", "sc"} if pages else {"sr", "ko", "pr"}
    if maps != "not sent":
        kinds |= {"seg", "pm"}
        settings |= {"pm_extent": "whole"} if maps == "whole" else {"seg_form": maps}
    profile = EncodingProfile(kinds=frozenset(kinds), **settings)
    return reports.request(paths, RESULTS[case.result](case.source), profile=profile, **changes)


def made(cases: list[Case], folder: Path, *, pages_every: int) -> Iterator[tuple[Case, tuple[EncodedObject, ...]]]:
    """Encode the cases; pages, which cost most and differ least, for one case of `pages_every`."""
    for number, case in enumerate(cases):
        pages = number % pages_every == 0
        yield (
            case,
            reports.whole(request(case, folder / "in" / case.name, pages=pages), folder / "out" / case.name),
        )


def masks_read_back(segmentations: Iterable[Path]) -> dict[ImageReference, NDArray[Any]]:
    """By source frame its labels, in Segment Numbers, as highdicom reads them from SEGs; only where there are any."""
    found: dict[ImageReference, NDArray[Any]] = {}
    for path in segmentations:
        read = segread(path)
        sources = {
            (str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber", 0)))
            for groups in read.PerFrameFunctionalGroupsSequence
            for source in groups.DerivationImageSequence[0].SourceImageSequence
        }
        for uid, number in sources:
            options: dict[str, Any] = {"combine_segments": True, "ignore_spatial_locations": True}
            if number:
                pixels = read.get_pixels_by_source_frame(uid, [number], **options)
            else:  # an image of one frame
                pixels = read.get_pixels_by_source_instance([uid], **options)
            if pixels.any():
                found[ImageReference(uid, number or 1)] = pixels[0]
    return found


def wrong_masks(case: Case, encoded: Sequence[EncodedObject]) -> list[str]:
    """What is not in the SEGs as the result has it."""
    segmentation = RESULTS[case.result](case.source).segmentation
    if segmentation is None or PROFILES[case.profile]["maps"] == "not sent":
        return [one.path.name for one in encoded if one.kind == "seg"]
    numbers = {segment.number: index for index, segment in enumerate(segmentation.segments, start=1)}
    meant = {
        frame: np.vectorize(lambda label: numbers.get(label, 0))(plane)
        for frame, plane in zip(segmentation.frames, segmentation.planes, strict=True)
    }
    read = masks_read_back(one.path for one in encoded if one.kind == "seg")
    wrong = [f"{frame}: there is none" for frame in meant.keys() - read.keys()]
    wrong += [f"{frame}: is on no frame of the result" for frame in read.keys() - meant.keys()]
    return wrong + [
        f"{frame}: differs" for frame in meant.keys() & read.keys() if not np.array_equal(meant[frame], read[frame])
    ]


# --- other makers' validators -------------------------------------------------------------------------

NO_VALUE = re.compile(r"Error: Template (300|1419) .*NUM \(PERC15,99TEST,\"Perc15\"\): Missing value")
"""PixelMed's validator wants a value in every NUM; PS3.3 C.18.1 lets Measured Value Sequence be empty where a Numeric
Value Qualifier says why, and that is what an SR has to say of a number that could not be computed."""

MIXED = re.compile(
    r"Error: Template 141[01] .*/\[Row \d+\] ((SCOORD|SCOORD3D|IMAGE) .*Missing conditional content item"
    r"|IMAGE \(121233,DCM,.*Conditional content item present when condition not satisfied)"
)
"""PixelMed's validator judges all groups of a report by each template that suits one of them. It misses the region of
those that have none, and of segments it wants a frame and a volume of all: the source image (TID 1410 row 8, TID 1411
row 11) is then one of a segment that is not there. PS3.16 TID 1500 includes TID 1410, 1411 and 1501 (rows 7 to 9) each
1-n times and by user option, and says of none that it excludes another; each group states its own in Content Template
Sequence."""

Made = Mapping[Case, Sequence[EncodedObject]]


def of_all_trees(cases: Sequence[Case]) -> list[Case]:
    """Of cases that differ in character set and profile the first of each class of report, and of each way of writing
    regions where there are any: PixelMed's validator judges content trees and takes three seconds for one."""
    chosen: dict[tuple[Any, ...], Case] = {}
    for case in cases:
        profile = PROFILES[case.profile]
        marked = any(finding.regions for finding in RESULTS[case.result](case.source).findings)
        chosen.setdefault((case.result, case.source, profile["sr_class"], marked and profile["editable"]), case)
    return list(chosen.values())


@dataclass(frozen=True)
class Kept:
    """Reports and key object selections of many cases, without the pages beside them."""

    folder: Path
    objects: dict[Case, tuple[EncodedObject, ...]]

    def keep(self, case: Case, encoded: Sequence[EncodedObject]) -> None:
        """Copy what has a content tree."""
        copies = []
        for one in encoded:
            if one.kind in {"sr", "ko"}:
                path = self.folder / f"{case.name}-{one.path.name}"
                shutil.copy(one.path, path)
                copies.append(replace(one, path=path))
        self.objects[case] = tuple(copies)


_LABEL_MAPS = (
    r".*/SegmentationType\(0062,0001\)\[1\]> - Unrecognized enumerated value = <LABELMAP>",
    r".*SegmentNumber not monotonically increasing from one by one - .* with SegmentNumber of 0",
    r".*/SegmentSequence\(0062,0002\)\[1\]/SegmentNumber\(0062,0004\)\[1\]> - Value is zero",
    r".*FunctionalGroupsSequence\(5200,92..\)\[\d+\]/SegmentIdentificationSequence\(0062,000a\)> - Missing attribute.*",
)
"""What Debian's dicom3tools says of a Label Map Segmentation that is shown to it as Segmentation: Supplement 243, which
it does not know, brought the type LABELMAP, lets the background be a segment, of the number 0 that its pixels have,
and names no segment for a frame, because a frame holds all of them (PS3.3 C.8.20.2, C.8.20.3.1)."""


@contextmanager
def as_segmentation(path: Path) -> Iterator[Path]:
    """The object for programs that do not know Label Map Segmentation Storage yet: under Segmentation Storage, of which
    it has the IOD (Supplement 243), or referring to that, and else the same."""
    with inflated([path]) as (plain,):
        content = plain.read_bytes()
        if LABEL_MAP_STORAGE.encode() not in content:
            yield plain
            return
        older = path.with_suffix(".as-segmentation")
        older.write_bytes(content.replace(LABEL_MAP_STORAGE.encode(), SegmentationStorage.encode()))
        yield older
        older.unlink()


def _errors(one: EncodedObject) -> list[str]:
    with as_segmentation(one.path) as path:
        errors = dciodvfy(path)
    if one.sop_class_uid != LABEL_MAP_STORAGE:
        return errors
    return [error for error in errors if not any(re.fullmatch(known, error) for known in _LABEL_MAPS)]


def errors_of_dciodvfy(objects: Made) -> dict[str, list[str]]:
    """The errors, by case and object; objects without any are left out."""
    named = [(f"{case.name} {one.path.name}", one) for case, encoded in objects.items() for one in encoded]
    with ThreadPoolExecutor() as threads:  # they wait for dciodvfy's processes
        found = threads.map(lambda each: (each[0], _errors(each[1])), named)
    return {name: errors for name, errors in found if errors}


def templates_of(report: Path) -> set[str]:
    """The templates that the measurement groups of a report state."""
    groups = (
        group
        for item in dcmread(report).ContentSequence
        for group in item.get("ContentSequence", ())
        if group.get("ConceptNameCodeSequence") and group.ConceptNameCodeSequence[0].CodeValue == "125007"
    )
    return {str(group.ContentTemplateSequence[0].TemplateIdentifier) for group in groups}


def errors_of_sr_validator(objects: Made, *, selections: int) -> dict[str, list[str]]:
    """The errors, by case; of every SR and of the first `selections` Key Object Selections."""
    paths = {one.path: case for case, encoded in objects.items() for one in encoded if one.kind == "sr"}
    keys = [(one.path, case) for case, encoded in objects.items() for one in encoded if one.kind == "ko"]
    paths.update(keys[:selections])
    errors: dict[str, list[str]] = {}
    for path, found in dicom_sr_validator(paths).items():
        known = [NO_VALUE] if paths[path].result == "partly-measured" else []
        known += [MIXED] if len(templates_of(path)) > 1 else []
        if wrong := [error for error in found if not any(pattern.match(error) for pattern in known)]:
            errors[f"{paths[path].name} {path.name}"] = wrong
    return errors
