"""A measurement report as it was read: findings, numbers, regions, and how a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from node.reading.codes import unit_text


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
    modifiers: tuple[ReadCode, ...] = ()
    """Where in the region, as in `Upper lobe`; in reports of others."""

    @property
    def place(self) -> str:
        """All of it in words: `Lung, Upper lobe, Right`."""
        return self.beside(None)

    def beside(self, known: ReadSite | None) -> str:
        """What it says that is not known of another site."""
        told = (known.region, *known.modifiers) if known else ()
        parts = [each.meaning for each in (self.region, *self.modifiers) if each not in told]
        side = self.side if known is None or self.side != known.side else ""
        return ", ".join(text for text in (*parts, side) if text)

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
    algorithm: str = ""
    """What measured it, where the number says so itself."""

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

    def lines(self, *, with_algorithm: bool) -> list[str]:
        """The group as a radiologist would read it; `with_algorithm`: the report as a whole does not name it."""
        place = self.site.place if self.site else ""
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
        lines += [_number_line(number, self.site, with_algorithm=with_algorithm) for number in self.measurements]
        for region in self.regions:
            where = f"image {region.sop_instance_uid}" if region.sop_instance_uid else "the patient's coordinates"
            frame = f", frame {region.frame_number}" if region.frame_number else ""
            lines.append(f"  marked by {region.graphic_type} in {where}{frame}")
        if self.segments:
            lines.append(f"  shown by segment {', '.join(str(number) for number in self.segments)} of the segmentation")
        how = f" ({'; '.join(self.algorithm_parameters)})" if self.algorithm_parameters else ""
        if with_algorithm and (self.algorithm or how):
            lines.append(f"  found by {self.algorithm or 'an algorithm'}{how}")
        return [*lines, *(f"  {comment}" for comment in self.comments)]


def _number_line(number: ReadMeasurement, known: ReadSite | None, *, with_algorithm: bool) -> str:
    where = number.site.beside(known) if number.site else ""
    place = f" ({where})" if where else ""
    unit = unit_text(number.unit.value) if number.unit else ""
    missing = number.qualifier.meaning if number.qualifier else "no value"
    value = missing if number.value is None else f"{number.value:.10g} {unit}".rstrip()
    how = f" ({number.derivation.meaning})" if number.derivation else ""
    made = (number.method.meaning if number.method else "", number.algorithm if with_algorithm else "")
    by = ", ".join(text for text in made if text)
    shown = f"  {number.concept.meaning}{how}{place}: {value}{f', by {by}' if by else ''}"
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
    """The device that made it."""
    person: str
    """The person who made it, or answers for it."""
    is_partial: bool
    """Completion Flag: it does not hold all that is to be said."""
    marking: str
    summary: str
    status: ReadCode | None
    """(111017, DCM, "CAD Processing and Findings Summary")."""
    findings: tuple[ReadFinding, ...]
    key_images: tuple[ReadKeyImage, ...]
    notes: tuple[tuple[str, str], ...]
    """All other texts and codes of the report as a whole, by their names."""
    not_understood: tuple[tuple[str, str], ...] = ()
    """Content items of which nothing above is made: the names that lead to each, and its value."""

    @property
    def lesions(self) -> int:
        """How many lesions the groups are about: two are one only where tracking UID, identifier and finding agree.

        Some producers give every group of a report one tracking UID.
        """
        alone = sum(not group.tracking_uid for group in self.findings)
        named = {
            (group.tracking_uid, group.tracking_identifier, group.finding)
            for group in self.findings
            if group.tracking_uid
        }
        return alone + len(named)

    def lines(self) -> list[str]:
        """The report as a radiologist would read it."""
        lines = [self.title, *(text for text in (self.marking, self.summary) if text)]
        if self.is_partial:
            lines.append("PARTIAL: the report says of itself that it is not complete")
        lines += [f"Observer: {name}" for name in (self.person, "" if self.marking else self.observer) if name]
        if self.lesions < len(self.findings):
            lines.append(f"{len(self.findings)} measurement groups of {self.lesions} lesions")
        for finding in self.findings:
            lines += ["", *finding.lines(with_algorithm=not self.marking)]
        if self.status is not None:
            lines += ["", f"Processing: {self.status.meaning}"]
        lines += [f"{name}: {text}" for name, text in self.notes]
        return [*lines, *self._left()]

    def _left(self) -> list[str]:
        """What was not understood, in words: where nothing else was, it must not look like a negative."""
        if not self.not_understood:
            return []
        count = len(self.not_understood)
        head = f"{count} content item{'s' if count > 1 else ''} not understood:"
        return ["", head, *(f"  {name}: {value}" for name, value in self.not_understood)]
