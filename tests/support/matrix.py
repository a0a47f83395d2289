"""Every kind of result × every kind of source image × every character set, whole or in pairs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

from pydicom import dcmread

from node.results.encode import EncodedObject, encode
from node.results.request import EncodingProfile, EncodingRequest, Kind, SourceReference
from plugins.contract import Finding, ImageReference, Result, Site
from tests.support import reports
from tests.support.validators import dciodvfy, dicom_sr_validator

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
        b"Hong^Gildong=\x1b$)C" + "洪".encode("euc_kr") + b"^\x1b$)C" + "吉洞".encode("euc_kr")
        + b"=\x1b$)C" + "홍".encode("euc_kr") + b"^\x1b$)C" + "길동".encode("euc_kr"),
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
}  # fmt: skip


def _segmented(kind: str) -> Result:
    return reports.segmented(reports.frames(kind))


def _segmented_mixed(kind: str) -> Result:
    """Findings of several kinds: PixelMed judges all groups of a report by one template."""
    result = _segmented(kind)
    absent = Finding(reports.PNEUMOTHORAX, present=False)
    return Result(result.status, result.summary, (*result.findings, absent), segmentation=result.segmentation)


def _partly_measured(_kind: str) -> Result:
    site = Site(reports.LUNG, reports.RIGHT)
    finding = Finding(reports.DENSITY, site=site, measurements=reports.density(reports.RIGHT, 2801.0, 8.1, None))
    return Result("findings", "Perc15 could not be computed.", (finding,))


def _of(make: Callable[[ImageReference], Result]) -> Callable[[str], Result]:
    return lambda kind: make(reports.reference(kind))


RESULTS: dict[str, Callable[[str], Result]] = {
    **{name: _of(make) for name, make in reports.RESULTS.items()},
    "segmented": _segmented,
    "segmented-mixed": _segmented_mixed,
    "partly-measured": _partly_measured,
}


@dataclass(frozen=True)
class Case:
    """One combination."""

    result: str
    source: str
    characters: str

    @property
    def name(self) -> str:
        return f"{self.result}-{self.source}-{self.characters}"


def every_case() -> list[Case]:
    """All combinations."""
    return [Case(*names) for names in product(RESULTS, reports.SOURCES, CHARACTER_SETS)]


def pairwise() -> list[Case]:
    """Few cases in which each pair of two factors' values occurs: greedily, always the same ones."""
    factors = (list(RESULTS), list(reports.SOURCES), list(CHARACTER_SETS))
    cases, covered = [], set()
    for number, (result, source) in enumerate(product(factors[0], factors[1])):
        offset = number + number // len(factors[1])
        rotated = [factors[2][(offset + shift) % len(factors[2])] for shift in range(len(factors[2]))]
        best = max(rotated, key=lambda characters: len(_pairs((result, source, characters)) - covered))
        covered |= _pairs((result, source, best))
        cases.append(Case(result, source, best))
    return cases


def _pairs(values: tuple[str, ...]) -> set[tuple[int, str, int, str]]:
    return {(i, values[i], j, values[j]) for i, j in combinations(range(len(values)), 2)}


def _label(path: Path, texts: Texts) -> None:
    """Rewrite an image so that the name is these very bytes under this label, as senders write them."""
    image = dcmread(path)
    image.pop("SpecificCharacterSet", None)
    image.PatientName = placeholder = "X" * (len(texts.raw) + len(texts.raw) % 2)
    if texts.label:
        image.SpecificCharacterSet = texts.label.split("\\") if "\\" in texts.label else texts.label
    image.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), texts.raw + b" " * (len(texts.raw) % 2)))


def request(case: Case, number: int, folder: Path, *, pages: bool = True) -> EncodingRequest:
    """The request of one case; SR class, language and further parts of the profile take turns with `number`."""
    paths = reports.write_series(case.source, folder)
    for path in paths:
        _label(path, CHARACTER_SETS[case.characters])
    kinds: set[Kind] = {"sr", "seg", "pm", "ko", "pr"} | ({"sc"} if pages else set())
    profile = EncodingProfile(
        sr_class=("comprehensive", "comprehensive-3d", "enhanced")[number % 3],  # type: ignore[arg-type] # one of the literals
        language=("en", "ko")[number % 2],  # type: ignore[arg-type] # one of the literals
        character_set=("utf-8", "source")[number // 2 % 2],  # type: ignore[arg-type] # one of the literals
        sc_modality=("OT", "source")[number // 3 % 2],  # type: ignore[arg-type] # one of the literals
        kinds=frozenset(kinds),
    )
    supersedes = (EARLIER,) if number % 5 == 0 else ()
    return reports.request(paths, RESULTS[case.result](case.source), profile=profile, supersedes=supersedes)


def made(cases: list[Case], folder: Path, *, pages_every: int) -> Iterator[tuple[Case, tuple[EncodedObject, ...]]]:
    """Encode the cases; pages, which cost most and differ least, for one case of `pages_every`."""
    for number, case in enumerate(cases):
        pages = number % pages_every == 0
        yield case, encode(request(case, number, folder / "in" / case.name, pages=pages), folder / "out" / case.name)


# --- other makers' validators -------------------------------------------------------------------------

NO_VALUE = re.compile(r"Error: Template (300|1419) .*NUM \(PERC15,99TEST,\"Perc15\"\): Missing value")
"""PixelMed's validator wants a value in every NUM; PS3.3 C.18.1 lets Measured Value Sequence be empty where a Numeric
Value Qualifier says why, and that is what an SR has to say of a number that could not be computed."""

Made = Mapping[Case, Sequence[EncodedObject]]


SRS_OF_ALL_CLASSES = 3
"""So many cases in a row have all SR classes."""


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


def errors_of_dciodvfy(objects: Made) -> dict[str, list[str]]:
    """The errors, by case and object; objects without any are left out."""
    named = [(f"{case.name} {one.path.name}", one.path) for case, encoded in objects.items() for one in encoded]
    with ThreadPoolExecutor() as threads:  # they wait for dciodvfy's processes
        found = threads.map(lambda each: (each[0], dciodvfy(each[1])), named)
    return {name: errors for name, errors in found if errors}


def errors_of_sr_validator(objects: Made, *, selections: int) -> dict[str, list[str]]:
    """The errors, by case; of every SR and of the first `selections` Key Object Selections."""
    paths = {one.path: case for case, encoded in objects.items() for one in encoded if one.kind == "sr"}
    keys = [(one.path, case) for case, encoded in objects.items() for one in encoded if one.kind == "ko"]
    paths.update(keys[:selections])
    errors: dict[str, list[str]] = {}
    for path, found in dicom_sr_validator(paths).items():
        allowed = paths[path].result == "partly-measured"
        if wrong := [error for error in found if not (allowed and NO_VALUE.match(error))]:
            errors[f"{paths[path].name} {path.name}"] = wrong
    return errors
