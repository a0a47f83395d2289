"""What the NIfTI or MetaImage files and tables of a plugin mean: `[nifti]` of a plugin.toml.

The program knows files with numbers in them. Here stands which series becomes which file, and what each label, mask,
map and column is: its code, its unit, its side, and whether an empty mask says anything.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from plugins import codes, manifest_parts
from plugins.coding import Code, Site, Unit
from plugins.concepts import Concept
from plugins.exchanges import SIDECAR
from plugins.images import ContractError
from plugins.maps import MOST_LABEL, Segment

if TYPE_CHECKING:
    from plugins.manifest_table import ManifestTable

IMAGE_ENDINGS = (".nii.gz", ".nii", ".mha")
TABLE_ENDINGS = (".csv", ".json")
_MOST_PARTS = 100
_PLACEHOLDER = re.compile(r"(\{(role|parameter):([^}]*)\})")
_FILE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/){0,2}[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


class EmptyMask(StrEnum):
    """What it says that a mask has no voxel."""

    UNKNOWN = "unknown"
    """Nothing: the report names it as not outlined."""
    ABSENT = "absent"
    """The finding is not there."""


@dataclass(frozen=True, slots=True)
class NiftiInput:
    """One file that the program reads: a series as one volume."""

    file: str
    """Name below `in/`."""
    role: str = ""
    """The role under which the rule hands its series over; empty: the one series without a role."""
    optional: bool = False
    """Whether the file may be missing, where the rule gives no such series."""
    modality: str = ""
    """What its images have to be; empty: anything."""
    least_slices: int = 1
    """With fewer it is not what the program is for."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """Of a series with several volumes: which one, by the attributes that tell them apart (`plugins.parting`)."""
    socket: str = ""
    """Of Grand Challenge: what its interface calls it; empty: as the folder of the file."""


@dataclass(frozen=True, slots=True)
class NiftiMask:
    """One file that the program reads: the segmentation of an earlier step, on the grid of the images."""

    result: str
    """Under which the rule gives that step's result."""
    file: str
    """Name below `in/`."""


@dataclass(frozen=True, slots=True)
class MappedSegment:
    """A label of the label map, or a mask in a file of its own."""

    name: str
    type: Code
    category: Code
    label: int | None = None
    """Its value in the label map; None where it has a file."""
    file: str = ""
    site: Site | None = None
    colour: tuple[int, int, int] | None = None
    finding: Code | None = None
    """What is present where the mask has a voxel; None: the mask is measured, which says nothing of presence."""
    empty: EmptyMask = EmptyMask.UNKNOWN
    parts: int = 0
    """The most findings, one for each connected part, the largest first; 0: one for the whole."""
    part_minimum_ml: float = 0.0
    """Smaller parts have no finding."""

    @property
    def heading(self) -> Code:
        """The code of its finding in the result."""
        return self.finding or self.type


@dataclass(frozen=True, slots=True)
class MappedNumber:
    """A number of a table: a measurement, or a score that a threshold may turn into present."""

    file: str
    column: str
    """Of a CSV its heading, of JSON the names on the way to it, with dots between them."""
    concept: Code
    unit: Unit
    finding: Code
    row: str = ""
    """Of a CSV the first cell of the row; empty: the only row."""
    site: Site | None = None
    decimals: int = 2
    is_score: bool = False
    threshold: float | None = None
    """From this score on the finding is present."""
    below: EmptyMask = EmptyMask.UNKNOWN
    """What a score below the threshold says."""


@dataclass(frozen=True, slots=True)
class MappedHeatmap:
    """A map of values, such as probabilities."""

    file: str
    name: str
    quantity: Code
    unit: Unit
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class NiftiFolders:
    """All that `[nifti]` says."""

    inputs: tuple[NiftiInput, ...]
    grid: int
    """Index of the input whose images the masks and maps lie on."""
    label_map: str = ""
    """Name below `out/`; empty where there is none."""
    ignored_labels: tuple[int, ...] = ()
    segments: tuple[MappedSegment, ...] = ()
    numbers: tuple[MappedNumber, ...] = ()
    heatmaps: tuple[MappedHeatmap, ...] = ()
    not_applicable_exit: int | None = None
    not_applicable_file: str = ""
    masks: tuple[NiftiMask, ...] = ()

    def file_of_role(self, role: str) -> str | None:
        """The input's file under `in/`; None where no input has this role."""
        return next((each.file for each in self.inputs if each.role == role), None)

    def output_files(self) -> set[str]:
        """Names below `out/` of all that is read."""
        found = {self.label_map, self.not_applicable_file, *(each.file for each in self.segments)}
        return (found | {each.file for each in self.numbers} | {each.file for each in self.heatmaps}) - {""}

    def concepts(self) -> Iterator[Concept]:
        """The codes that results of this mapping have, with their units."""
        for segment in self.segments:
            yield Concept(segment.heading)
        if any(each.parts for each in self.segments):
            yield Concept(codes.LONG_AXIS, codes.MILLIMETER.code)
        if self.segments:
            yield Concept(codes.VOLUME, codes.MILLILITER.code)
        for number in self.numbers:
            yield Concept(number.finding)
            yield Concept(number.concept, number.unit.code)


def unknown_placeholder(command: Sequence[str], folders: NiftiFolders, parameters: Container[str]) -> str:
    """The first placeholder of a command line that names no role or parameter; "" where each names one."""
    for argument in command:
        for placeholder, kind, name in _PLACEHOLDER.findall(argument):
            if not (folders.file_of_role(name) if kind == "role" else name in parameters):
                return str(placeholder)
    return ""


# --- reading -------------------------------------------------------------------------------------


def read(table: ManifestTable) -> NiftiFolders:
    """The table `[nifti]` of a manifest; ManifestError."""
    inputs = tuple(_input(each) for each in manifest_parts.tables(table, "inputs")) or (NiftiInput("image.nii.gz"),)
    label_map, ignored = _label_map(table)
    exit_code = table.take("not_applicable_exit", int, None)
    if (exit_code is not None and not 1 <= exit_code <= 125) or exit_code == 75:
        raise table.error("not_applicable_exit", f"{exit_code} is not an exit code from 1 to 125 other than 75")
    mapping = NiftiFolders(
        inputs=inputs,
        grid=_grid(table, inputs),
        label_map=label_map,
        ignored_labels=ignored,
        segments=tuple(_segment(each) for each in manifest_parts.tables(table, "segments")),
        numbers=tuple(_number(each) for each in manifest_parts.tables(table, "numbers")),
        heatmaps=tuple(_heatmap(each) for each in manifest_parts.tables(table, "heatmaps")),
        not_applicable_exit=exit_code,
        not_applicable_file=_file(table, "not_applicable_file", (), "")
        if "not_applicable_file" in table.values
        else "",
        masks=tuple(_mask(each) for each in manifest_parts.tables(table, "masks")),
    )
    _refuse_contradictions(table, mapping)
    table.finish()
    return mapping


def _refuse_contradictions(table: ManifestTable, mapping: NiftiFolders) -> None:
    """ManifestError where the parts do not fit together."""
    for key, names in (
        ("inputs", [*(each.file for each in mapping.inputs), *(each.file for each in mapping.masks)]),
        ("masks", [each.result for each in mapping.masks]),
        ("inputs", _lone_roles(mapping.inputs)),
        ("segments", [f"label {each.label}" for each in mapping.segments if each.label is not None]),
        ("segments", [each.file for each in mapping.segments if each.file]),
        ("heatmaps", [each.file for each in mapping.heatmaps]),
    ):
        if twice := next((name for index, name in enumerate(names) if name in names[:index]), ""):
            raise table.error(key, f"{twice} occurs twice")
    labels = [each.label for each in mapping.segments if each.label is not None]
    if labels and not mapping.label_map:
        raise table.error("segments", "a segment has a label, but there is no [nifti.labels] with the file")
    if mapping.label_map and not labels:
        raise table.error("labels", "no [[nifti.segments]] says what its labels are")
    if both := sorted(set(labels) & set(mapping.ignored_labels)):
        raise table.error("labels", f"label {both[0]} is ignored and is a segment")
    if not (mapping.segments or mapping.numbers or mapping.heatmaps):
        raise table.error("segments", "nothing comes out: give [[nifti.segments]] or [[nifti.numbers]]")
    if not (mapping.segments or mapping.numbers):
        raise table.error("heatmaps", "a heat map alone is not a result: give [[nifti.segments]] or [[nifti.numbers]]")


def _lone_roles(inputs: Sequence[NiftiInput]) -> list[str]:
    """The roles of inputs that are a whole series; of one that is parted, several may be made."""
    whole = {each.role for each in inputs if not each.tags}
    return [f"role {each.role!r}" for each in inputs if each.role in whole]


def _input(table: ManifestTable) -> NiftiInput:
    tags = table.take("tags", dict, {})
    if not all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in tags.values()):
        raise table.error("tags", "expected attributes with numbers or texts, as in {DiffusionBValue = 1000.0}")
    role = table.take("role", str, "")
    made = NiftiInput(
        file=_file(table, "file", IMAGE_ENDINGS, f"{role or 'image'}.nii.gz"),
        role=role,
        optional=table.take("optional", bool, False),
        modality=table.take("modality", str, ""),
        least_slices=table.take("least_slices", int, 1),
        tags=tags,
        socket=table.take("socket", str, ""),
    )
    if made.file == SIDECAR:
        raise table.error("file", f"{SIDECAR} is written by the node")
    table.finish()
    return made


def _mask(table: ManifestTable) -> NiftiMask:
    result: str = table.take("result", str)
    made = NiftiMask(result, _file(table, "file", IMAGE_ENDINGS, f"{result}.nii.gz"))
    table.finish()
    return made


def _grid(table: ManifestTable, inputs: tuple[NiftiInput, ...]) -> int:
    """The input that results lie on: the one of that role, by default the first."""
    role = table.take("grid", str, inputs[0].role)
    found = [index for index, each in enumerate(inputs) if each.role == role]
    if not found:
        raise table.error("grid", f"no input has the role {role!r}")
    if inputs[found[0]].optional:
        raise table.error("inputs", "the images that masks lie on cannot be optional")
    return found[0]


def _label_map(table: ManifestTable) -> tuple[str, tuple[int, ...]]:
    if "labels" not in table.values:
        return "", ()
    labels = table.table("labels")
    ignored = labels.take("ignore", list, [])
    if not all(type(each) is int and 1 <= each <= MOST_LABEL for each in ignored):
        raise labels.error("ignore", f"expected labels from 1 to {MOST_LABEL}")
    file = _file(labels, "file", IMAGE_ENDINGS)
    labels.finish()
    return file, tuple(ignored)


def _segment(table: ManifestTable) -> MappedSegment:
    label = table.take("label", int, None)
    if (label is None) == ("file" not in table.values):
        raise table.error("label", "give the label in the label map, or the file of the mask, and one of them")
    if label is not None and not 1 <= label <= MOST_LABEL:
        raise table.error("label", f"{label} is not within 1 to {MOST_LABEL}; 0 is background")
    return segment(table, label, _file(table, "file", IMAGE_ENDINGS) if label is None else "")


def segment(table: ManifestTable, label: int | None, file: str = "") -> MappedSegment:
    """What a segment is and what it says, by the keys of a table; `label` or `file` says where its voxels are."""
    finding = manifest_parts.code(table, "finding") if "finding" in table.values else None
    empty = table.member("empty", EmptyMask, table.take("empty", str, EmptyMask.UNKNOWN))
    if empty is EmptyMask.ABSENT and finding is None:
        raise table.error("empty", "only what has a finding can be absent")
    usual = codes.ABNORMAL_STRUCTURE if finding else codes.ANATOMICAL_STRUCTURE
    made = MappedSegment(
        name=table.take("name", str),
        type=manifest_parts.code(table, "type"),
        category=manifest_parts.code(table, "category") if "category" in table.values else usual,
        label=label,
        file=file,
        site=manifest_parts.site(table),
        colour=manifest_parts.colour(table),
        finding=finding,
        empty=empty,
        parts=table.take("parts", int, 0),
        part_minimum_ml=table.take("part_minimum_ml", float, 0.0),
    )
    if not 0 <= made.parts <= _MOST_PARTS:
        raise table.error("parts", f"{made.parts} is not within 0 to {_MOST_PARTS}")
    if "part_minimum_ml" in table.values and (not made.parts or made.part_minimum_ml < 0):
        raise table.error("part_minimum_ml", "needs parts, and a volume from 0 on")
    table.finish()
    try:
        Segment(1, made.name, made.category, made.type, made.site, made.colour)
    except ContractError as error:
        raise table.error("name", str(error)) from error
    return made


def _number(table: ManifestTable) -> MappedNumber:
    is_score, threshold = table.take("score", bool, False), table.take("threshold", float, None)
    below = table.member("below", EmptyMask, table.take("below", str, EmptyMask.UNKNOWN))
    if threshold is not None and not is_score:
        raise table.error("threshold", "only a score has one: write score = true")
    if below is EmptyMask.ABSENT and threshold is None:
        raise table.error("below", "needs a threshold")
    decimals = table.take("decimals", int, 2)
    if not 0 <= decimals <= 9:
        raise table.error("decimals", f"{decimals} is not within 0 to 9")
    made = MappedNumber(
        file=_file(table, "file", TABLE_ENDINGS),
        column=table.take("column", str),
        concept=manifest_parts.code(table, "concept"),
        unit=manifest_parts.unit(table),
        finding=manifest_parts.code(table, "finding"),
        row=table.take("row", str, ""),
        site=manifest_parts.site(table),
        decimals=decimals,
        is_score=is_score,
        threshold=threshold,
        below=below,
    )
    if made.row and not made.file.endswith(".csv"):
        raise table.error("row", "is for a CSV; of JSON write the names with dots between them in column")
    table.finish()
    return made


def _heatmap(table: ManifestTable) -> MappedHeatmap:
    unit = manifest_parts.unit(table, "1")
    is_share = unit.code == "1"
    made = MappedHeatmap(
        file=_file(table, "file", IMAGE_ENDINGS),
        name=table.take("name", str, "Heat map"),
        quantity=manifest_parts.code(table, "quantity"),
        unit=unit,
        minimum=table.take("minimum", float, 0.0 if is_share else None),
        maximum=table.take("maximum", float, 1.0 if is_share else None),
    )
    table.finish()
    return made


def _file(table: ManifestTable, key: str, endings: tuple[str, ...] = (), default: Any = ...) -> str:
    name: str = table.take(key, str, default)
    if not _FILE.fullmatch(name):
        raise table.error(key, f"{name!r} is not the name of a file, in two folders at most")
    if endings and not name.endswith(endings):
        raise table.error(key, f"{name!r} does not end with {' or '.join(endings)}")
    return name
