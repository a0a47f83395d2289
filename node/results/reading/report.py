"""A measurement report as it was read: findings, numbers, regions, and how a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from node.results.pages.tables import unit_text


@dataclass(frozen=True, slots=True)
class ReadCode:
    """A code as it is in the report."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ReadSite:
    """Where in the body."""

    region: ReadCode
    laterality: ReadCode | None

    @property
    def side(self) -> str:
        """The laterality in words; empty where there is none."""
        return self.laterality.meaning if self.laterality else ""


@dataclass(frozen=True, slots=True)
class ReadMeasurement:
    """A NUM: `value` is None where the report says in `qualifier` why there is none."""

    concept: ReadCode
    value: float | None
    unit: ReadCode | None
    qualifier: ReadCode | None
    site: ReadSite | None
    method: ReadCode | None
    derivation: ReadCode | None
    range_text: str
    """The range called normal, in words."""
    range_source: str
    """Who calls it so."""

    @property
    def laterality(self) -> str:
        """In words; empty where there is none."""
        return self.site.side if self.site else ""

    @property
    def reference(self) -> str:
        """Range and source in words."""
        return ", ".join(text for text in (self.range_text, self.range_source) if text)


@dataclass(frozen=True, slots=True)
class ReadRegion:
    """A SCOORD or SCOORD3D: (column, row) on an image, or (x, y, z) in mm."""

    graphic_type: str
    points: tuple[tuple[float, ...], ...]
    sop_instance_uid: str
    frame_number: int | None
    frame_of_reference_uid: str


@dataclass(frozen=True, slots=True)
class ReadFinding:
    """One measurement group."""

    finding: ReadCode | None
    present: bool | None
    site: ReadSite | None
    tracking_identifier: str
    tracking_uid: str
    algorithm: str
    algorithm_parameters: tuple[str, ...]
    measurements: tuple[ReadMeasurement, ...]
    evaluations: tuple[tuple[str, str], ...]
    """Questions and answers in words, such as ("Pneumothorax", "Absent")."""
    comments: tuple[str, ...]
    number: str
    """Of the finding, as pages and images show it; empty where it needs none, and in reports of others."""
    regions: tuple[ReadRegion, ...]
    segments: tuple[int, ...]

    @property
    def laterality(self) -> str:
        """In words; empty where there is none."""
        return self.site.side if self.site else ""

    def lines(self) -> list[str]:
        """The group as a radiologist would read it."""
        place = ", ".join(text for text in (self.site.region.meaning if self.site else "", self.laterality) if text)
        answer = {True: ": PRESENT", False: ": ABSENT", None: ""}[self.present]
        name = self.finding.meaning if self.finding else self.tracking_identifier or "Finding"
        lines = [f"{name}{f' ({place})' if place else ''}{answer}"]
        if self.finding and self.tracking_identifier:
            lines.append(f"  called {self.tracking_identifier}")
        if self.number:
            lines.append(f"  number {self.number}")
        for question, value in self.evaluations:
            if not (self.finding and question == self.finding.meaning and self.present is not None):
                lines.append(f"  {question}: {value}")
        lines += [_number_line(number, self.laterality) for number in self.measurements]
        for region in self.regions:
            where = f"image {region.sop_instance_uid}" if region.sop_instance_uid else "the patient's coordinates"
            frame = f", frame {region.frame_number}" if region.frame_number else ""
            lines.append(f"  marked by {region.graphic_type} in {where}{frame}")
        if self.segments:
            lines.append(f"  shown by segment {', '.join(str(number) for number in self.segments)} of the segmentation")
        return [*lines, *(f"  {comment}" for comment in self.comments)]


def _number_line(number: ReadMeasurement, known_side: str) -> str:
    side = f" ({number.laterality})" if number.laterality and number.laterality != known_side else ""
    unit = unit_text(number.unit.value) if number.unit else ""
    missing = number.qualifier.meaning if number.qualifier else "no value"
    value = missing if number.value is None else f"{number.value:.10g} {unit}".rstrip()
    how = f" ({number.derivation.meaning})" if number.derivation else ""
    shown = f"  {number.concept.meaning}{how}{side}: {value}"
    return f"{shown}  [{number.reference}]" if number.reference else shown


@dataclass(frozen=True, slots=True)
class ReadKeyImage:
    """An image that illustrates the report, and why."""

    sop_instance_uid: str
    frame_number: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A measurement report."""

    title: str
    sop_instance_uid: str
    study_instance_uid: str
    observer: str
    marking: str
    summary: str
    status: ReadCode | None
    """(111017, DCM, "CAD Processing and Findings Summary")."""
    findings: tuple[ReadFinding, ...]
    key_images: tuple[ReadKeyImage, ...]
    notes: tuple[tuple[str, str], ...]
    """All other texts and codes of the report as a whole, by their names."""

    def lines(self) -> list[str]:
        """The report as a radiologist would read it."""
        lines = [self.title, *(text for text in (self.marking, self.summary) if text)]
        for finding in self.findings:
            lines += ["", *finding.lines()]
        if self.status is not None:
            lines += ["", f"Processing: {self.status.meaning}"]
        return [*lines, *(f"{name}: {text}" for name, text in self.notes)]
