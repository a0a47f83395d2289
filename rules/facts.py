"""All that a rule may see: a study, its series, their SOP instances, and how they came here.

Pure data. The node fills it in (`node/route`); the rules read it and nothing else, so a decision can
be taken again from kept facts when the images are long gone. Whoever fills it in keeps to this:

- an attribute is found under its DICOM keyword (`SliceThickness`); a public one without keyword under
  its tag as eight lower-case hexadecimal digits, `(0018,9999)`; a private one under group, private
  creator and the last two digits of the element, `(0029,SIEMENS CSA HEADER,10)` (PS3.5 7.8.1): the
  creator as decoded, without padding, its letters as they are;
- texts are decoded from the Specific Character Set; a person name is its text (`Hong^Gildong`);
- functional groups of enhanced objects are lifted: an attribute of a shared or per-frame group that
  the instance itself lacks stands at the instance, with each of the frames' distinct values one
  after the other; the Per-frame Functional Groups Sequence is one item that holds the same;
- of pixel data, bulk data and values too long to be asked for it is kept that they are there, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

Item: TypeAlias = "Mapping[str, Element]"
"""One item of a sequence."""
Value: TypeAlias = "str | int | float | Item"

LOSSY = "lossy"
"""The pixels have been compressed lossily, here or earlier."""
TRUNCATED_PIXEL_DATA = "truncated-pixel-data"
"""There are fewer bytes of pixels than the header promises (case 39)."""
BAD_PIXEL_DESCRIPTION = "bad-pixel-description"
"""Rows, columns, bits, frames or palette contradict each other (cases 40, 41)."""
UNREADABLE_HEADER = "unreadable-header"
"""The dataset could not be read completely (case 43)."""
CUT_HEADER = "cut-header"
"""Not all attributes were kept: rules do not see those left out."""
UNDECODABLE_TEXT = "undecodable-text"
"""A text does not fit the Specific Character Set: it is read with replacement characters."""
MISSING_PATIENT_ID = "missing-patient-id"
"""Patient ID is absent or empty."""
BAD_ENCODING = "bad-encoding"
"""The dataset breaks an encoding rule of PS3.5 7, such as an odd length, and could still be read."""
BAD_UID = "bad-uid"
"""A UID that results could not name it by (`node.uids` says how strictly)."""
UNFIT_MARKS = frozenset({TRUNCATED_PIXEL_DATA, BAD_PIXEL_DESCRIPTION, UNREADABLE_HEADER, BAD_UID})
"""Marks of an instance that no plugin is given, and with it no part of its series."""
MARKS = (LOSSY, BAD_ENCODING, CUT_HEADER, UNDECODABLE_TEXT, MISSING_PATIENT_ID, *sorted(UNFIT_MARKS))
"""Every mark there is."""


@dataclass(frozen=True, slots=True)
class Element:
    """One attribute: its value representation (PS3.5 6.2) and its values, none where it is empty."""

    vr: str
    values: tuple[Value, ...]
    kept: bool = True
    """False where there are values, or more of them, that the node does not keep."""


class UnkeptValue(NamedTuple):
    """Stands for a value that is there and that the node does not keep: present, and undecidable otherwise."""

    vr: str


class CodeItem(NamedTuple):
    """A coded concept as it is in a code sequence item (PS3.3 8.8); "" where a part is absent."""

    value: str
    scheme: str
    meaning: str
    modifiers: tuple[CodeItem, ...] = ()
    """Codes in the same item that change it: a view's, an anatomic region's."""


class Age(NamedTuple):
    """A person's age in completed units; `text` says where it comes from."""

    years: int
    months: int
    days: int
    text: str


Datum: TypeAlias = str | int | float | CodeItem | Age | UnkeptValue
"""One value as conditions read it; hashable."""


@dataclass(frozen=True, slots=True)
class FromAttributes:
    """A reader of values that rest on these attributes alone: read once for all instances that have them alike."""

    keywords: tuple[str, ...]
    read: Callable[[Item], tuple[Datum, ...]]


Trait: TypeAlias = Literal[
    "sop_instance_uid", "sop_class_uid", "number_of_frames", "transfer_syntax_uid", "marks", "calling_ae_title"
]
"""What an instance states beside its attributes."""


@dataclass(frozen=True, slots=True)
class FromTrait:
    """A reader of values that rest on one trait: read once for all instances that have it alike."""

    trait: Trait
    read: Callable[[Any], tuple[Datum, ...]]


class InstanceSource(NamedTuple):
    """What an instance is and who sent it, as far as its attributes do not say."""

    sop_class_uid: str
    calling_ae_title: str


@dataclass(frozen=True, slots=True)
class FromSource:
    """A reader of values that rest on attributes, on the source, and on what the site knows of makers."""

    keywords: tuple[str, ...]
    read: Callable[[Item, InstanceSource, SeriesFacts], tuple[Datum, ...]]


@dataclass(frozen=True, slots=True)
class FromInstance:
    """A reader of values that are not attributes: each instance is asked."""

    read: Callable[[InstanceFacts, SeriesFacts], tuple[Datum, ...]]


@dataclass(frozen=True, slots=True)
class FromSeries:
    """A reader of values that are the same for every instance of a series."""

    read: Callable[[SeriesFacts], tuple[Datum, ...]]


Reader: TypeAlias = FromAttributes | FromTrait | FromInstance | FromSeries | FromSource


class InstanceFacts(NamedTuple):
    """One SOP instance."""

    sop_instance_uid: str
    sop_class_uid: str
    attributes: Mapping[str, Element]
    number_of_frames: int
    """1 for a single-frame image, 0 for an object without pixels (SR, presentation state, PDF)."""
    transfer_syntax_uid: str
    marks: frozenset[str] = frozenset()
    """What the indexer noticed: `lossy`, `truncated-pixel-data`, …; see the constants of this module."""
    calling_ae_title: str = ""
    """Who sent it."""


class IndexedInstance(NamedTuple):
    """What the node reads of an instance: the node makes it of what a test describes, too."""

    attributes: Mapping[str, Element]
    sop_class_uid: str
    transfer_syntax_uid: str
    number_of_frames: int
    marks: frozenset[str]


class DistinctElements(NamedTuple):
    """One attribute as the node keeps it: its distinct elements, and which instance has which."""

    elements: tuple[Element, ...]
    at: Sequence[int] | None
    """For each instance an index into `elements`, or -1; None where every instance has the first."""


ABSENT = DistinctElements((), ())


Groups: TypeAlias = tuple[tuple[Any, int], ...]
"""Distinct values, each with a mask of the instances that have it: an integer whose bit i stands for instance i."""


class Column(NamedTuple):
    """One attribute over all instances of a series."""

    groups: tuple[tuple[tuple[Datum, ...], int], ...]
    """Distinct values, each with the mask of the instances that have it, in order of appearance."""
    missing: int
    """Instances where the attribute is absent or empty."""


@dataclass(frozen=True)
class SeriesFacts:
    """One series."""

    series_instance_uid: str
    modality: str
    instances: Sequence[InstanceFacts]
    spread: Callable[[str], DistinctElements] | None = field(default=None, repr=False, compare=False)
    """The attributes of all instances by keyword, where the node keeps them so; ABSENT where none has it."""
    complete: bool = True
    """Nothing more of it is expected."""
    shared: Callable[[Trait], Groups] | None = field(default=None, repr=False, compare=False)
    """The traits of all instances, where the node keeps them so."""
    vendors: tuple[Callable[[str, str], bool], ...] = field(default=(), repr=False, compare=False)
    """Whether a Manufacturer and a calling AE title are those of an AI vendor that the site names."""
    _columns: dict[str, Column] = field(default_factory=dict, init=False, repr=False, compare=False)
    _traits: dict[Trait, Groups] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def all_images(self) -> int:
        """The mask of all instances."""
        return (1 << len(self.instances)) - 1

    @cached_property
    def unfit(self) -> int:
        """The mask of the instances that no plugin may be given."""
        return sum(mask for marks, mask in self.groups("marks") if marks & UNFIT_MARKS)

    def groups(self, trait: Trait) -> Groups:
        """Distinct values of a trait, each with the mask of its instances; computed once."""
        known = self._traits.get(trait)
        if known is None:
            known = self._traits[trait] = self.shared(trait) if self.shared else _grouped(self.instances, trait)
        return known

    def column(self, name: str, read: Reader) -> Column:
        """Distinct values of `name`, as `read` takes them from an instance; computed once."""
        known = self._columns.get(name)
        if known is None:
            known = self._columns[name] = _column(self, read)
        return known

    def frames(self, mask: int) -> int:
        """Frames of the instances in `mask`: what a person calls the number of images."""
        return sum(max(0, each) * (mask & having).bit_count() for each, having in self.groups("number_of_frames"))


def _grouped(instances: Iterable[InstanceFacts], trait: Trait) -> Groups:
    masks: dict[Any, int] = {}
    for bit, each in enumerate(instances):
        value = getattr(each, trait)
        masks[value] = masks.get(value, 0) | 1 << bit
    return tuple(masks.items())


def _column(series: SeriesFacts, read: Reader) -> Column:
    """Each distinct reading with the mask of its instances."""
    groups: dict[tuple[Datum, ...], int] = {}
    missing = 0
    for values, mask in _readings(series, read):
        if values:
            groups[values] = groups.get(values, 0) | mask
        else:
            missing |= mask
    return Column(tuple(groups.items()), missing)


def _readings(series: SeriesFacts, read: Reader) -> Iterator[tuple[tuple[Datum, ...], int]]:
    """What is read of which instances; of instances with the same attributes at once where that is known."""
    if isinstance(read, FromSeries):
        yield read.read(series), series.all_images
    elif isinstance(read, FromTrait):
        yield from ((read.read(value), mask) for value, mask in series.groups(read.trait))
    elif isinstance(read, FromInstance):
        yield from ((read.read(each, series), 1 << bit) for bit, each in enumerate(series.instances))
    elif isinstance(read, FromSource):
        yield from _by_source(series, read)
    else:
        yield from ((read.read(item), mask) for item, mask in _items(series, read.keywords))


def _by_source(series: SeriesFacts, read: FromSource) -> Iterator[tuple[tuple[Datum, ...], int]]:
    for item, having in _items(series, read.keywords):
        for sop_class, of_class in series.groups("sop_class_uid"):
            for title, sent in series.groups("calling_ae_title"):
                if mask := having & of_class & sent:
                    yield read.read(item, InstanceSource(sop_class, title), series), mask


def _items(series: SeriesFacts, keywords: Sequence[str]) -> Iterator[tuple[Item, int]]:
    """These attributes of all instances: of those that have them alike at once where that is known."""
    if series.spread is None:
        yield from ((each.attributes, 1 << bit) for bit, each in enumerate(series.instances))
    else:
        spreads = [(keyword, *series.spread(keyword)) for keyword in keywords]
        for indices, mask in _alike([at for _, _, at in spreads], series):
            pairs = zip(spreads, indices, strict=True)
            yield {keyword: elements[at] for (keyword, elements, _), at in pairs if at >= 0}, mask


def _alike(spreads: Sequence[Sequence[int] | None], series: SeriesFacts) -> Iterable[tuple[tuple[int, ...], int]]:
    """Instances that have the same elements of every spread, as masks."""
    if all(not at for at in spreads):
        return ((tuple(0 if at is None else -1 for at in spreads), series.all_images),)
    masks: dict[tuple[int, ...], int] = {}
    absent = (-1,) * len(series.instances)
    uniform = (0,) * len(series.instances)
    for bit, indices in enumerate(zip(*(uniform if at is None else at or absent for at in spreads), strict=True)):
        masks[indices] = masks.get(indices, 0) | 1 << bit
    return masks.items()


class History(NamedTuple):
    """What a rule has done so far."""

    enrolled: int = 0
    """Other studies that it has run on."""
    today: int = 0
    """Those of them since midnight in the site's time zone."""
    patient_last: datetime | None = None
    """When it last ran on another study of the patient; aware."""
    subjects: frozenset[str] = frozenset()
    """What of this study it has run on: the Study Instance UID, or Series Instance UIDs."""
    decided_at: datetime | None = None
    """When it was last asked about this study."""
    waiting_since: datetime | None = None
    """Since when it has been waiting for more of this study."""
    wait_ended: bool = False
    """A person said that nothing more comes: it decides as at the end of its wait."""


class AnswerFacts(NamedTuple):
    """What a vendor's box has answered."""

    plugin: str
    """The plugin that is the box."""
    modalities: tuple[str, ...] = ()
    """Of the objects that it sent."""
    present: tuple[str, ...] = ()
    """Its findings that are present, as scheme, colon, code value."""
    unknown: tuple[str, ...] = ()
    """Its findings of which it does not say whether they are present."""


@dataclass(frozen=True)
class StudyFacts:
    """One study at one revision, and the moment of the decision."""

    study_instance_uid: str
    revision: int
    series: tuple[SeriesFacts, ...]
    origin: Literal["received", "retrieved", "answer", "uploaded"]
    """`retrieved`: this node fetched it itself, so that only rules that name `origin` see it. `answer`: a vendor's box
    has answered about it, and only rules that say `origin: answer` are asked. `uploaded`: a person gave the files."""
    calling_ae_titles: frozenset[str]
    called_ae_titles: frozenset[str]
    peer_addresses: frozenset[str]
    received_at: datetime
    """When its first instance arrived; aware, in the site's time zone."""
    completed_at: datetime
    now: datetime
    """The time of the decision: rules have no clock of their own."""
    complete: bool = True
    history: Mapping[str, History] = field(default_factory=dict)
    """By the name of the rule."""
    answer: AnswerFacts | None = None
    """Where `origin` is `answer`."""
