"""Numbers as NUM content items, and their ranges as texts (PS3.16 TID 300, 310, 312, 1419)."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import FindingSite, MeasurementProperties, NormalRangeProperties, SourceImageForMeasurement
from highdicom.sr import Measurement as SRMeasurement
from pydicom import Dataset

from node.reading import codes as reading_codes
from node.results import codes as our_codes
from node.results.source.equipment import algorithm_for_sr
from plugins.contract import AlgorithmIdentity, Finding, Measurement, ReferenceRange, Site, Unit

_TEXT_LIMIT = 1024


def empty_values_that_are_none(item: Dataset) -> None:
    """Empty Measured Value Sequence (C.18.1) of every number that says why it has no value.

    Done on the finished document: highdicom neither makes nor reads a NUM without value, so it was
    given a placeholder until here.
    """
    if item.get("ValueType") == "NUM":
        qualifier = item.get("NumericValueQualifierCodeSequence")
        if qualifier and any(code.value == qualifier[0].CodeValue for code in reading_codes.NO_VALUE.values()):
            item.MeasuredValueSequence = []
    for child in item.get("ContentSequence", ()):
        empty_values_that_are_none(child)


def site_item(site: Site) -> FindingSite:
    """The finding site, with its laterality."""
    return FindingSite(our_codes.concept(site.region), our_codes.concept(site.laterality) if site.laterality else None)


def measurement_item(
    measurement: Measurement,
    finding: Finding,
    algorithm: AlgorithmIdentity,
    sources: Sequence[SourceImageForMeasurement] = (),
) -> SRMeasurement:
    """A measurement with its site, method, derivation, range and sources.

    One without value has a placeholder for now.
    """
    site = measurement.site or finding.site
    return SRMeasurement(
        our_codes.concept(measurement.concept),
        0.0 if measurement.value is None else float(measurement.value),
        our_codes.unit(measurement.unit),
        qualifier=reading_codes.NO_VALUE[measurement.no_value] if measurement.no_value else None,
        derivation=our_codes.concept(measurement.derivation) if measurement.derivation else None,
        method=our_codes.concept(measurement.method) if measurement.method else None,
        finding_sites=[site_item(site)] if site else None,
        properties=_properties(measurement),
        referenced_images=sources or None,
        # OHIF fails on a NUM without children in a group without SCOORD.
        algorithm_id=None if site else algorithm_for_sr(algorithm),
    )


def _properties(measurement: Measurement) -> MeasurementProperties | None:
    reference: ReferenceRange | None = measurement.reference_range
    if reference is None:
        return None
    # As text (TID 312 row 2): limits as NUM children are taken for rows 9 and 10 of TID 300 by PixelMed's validator.
    return MeasurementProperties(
        normal_range_properties=NormalRangeProperties(
            [], description=range_text(reference, measurement.unit), authority=reference.source[:_TEXT_LIMIT]
        )
    )


def range_text(reference: ReferenceRange, unit: Unit) -> str:
    """ "<= 6 %", ">= -910 HU", "4 to 6 L", "<= 0.5": a range for people, in ASCII, which every character set has."""
    suffix = f" {shown}" if (shown := reading_codes.unit_text(unit.code)) else ""
    if reference.low is None:
        return f"<= {exact(reference.high or 0.0)}{suffix}"
    if reference.high is None:
        return f">= {exact(reference.low)}{suffix}"
    return f"{exact(reference.low)} to {exact(reference.high)}{suffix}"


def exact(value: float) -> str:
    """The shortest decimal that is this very number: "50", "0.1", "6.8"."""
    return repr(float(value)).removesuffix(".0")
