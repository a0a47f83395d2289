"""What the IHE AI Results (AIR) profile asks of an Evidence Creator, looked for in objects that are encoded here.

A clause is met where its search finds something in the objects; the table says where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from node.config.destinations import DicomDestination
from node.config.encoding import EncodingProfile
from node.results.encode import encode
from plugins.contract import Finding, Point, Polygon, Polyline, Result, ResultStatus
from tests.support.results import reports
from tests.support.results.matrix import EARLIER
from tests.support.sites.result_site import PACS

Objects = dict[str, list[Dataset]]
"""By what was encoded: the objects of its set, as they are read back."""


def _profile() -> EncodingProfile:
    """The preset for AIR, with everything that may be sent."""
    profile = DicomDestination.model_validate(PACS | {"preset": "ai-results"}).encoding
    return profile.model_copy(update={"kinds": frozenset(("sr", "sc", "seg", "pm", "ko", "pr"))})


def _in_the_patient() -> Result:
    """A point, a length and a contour in the coordinates of the patient."""
    corner, right, below = [-60.0, -80.0, 10.0], [-40.0, -80.0, 10.0], [-40.0, -60.0, 10.0]
    frame = reports.FRAME_OF_REFERENCE
    forms = (
        Point(np.array([corner]), frame_of_reference_uid=frame),
        Polyline(np.array([corner, right]), frame_of_reference_uid=frame),
        Polygon(np.array([corner, right, below]), frame_of_reference_uid=frame),
    )
    findings = tuple(Finding(reports.NODULE, present=True, regions=(form,)) for form in forms)
    return Result(ResultStatus.FINDINGS, "Three findings.", findings)


def encoded(folder: Path) -> Objects:
    """One set for each kind of answer, on CT, as the preset for AIR writes it."""
    image, frames = reports.reference("ct"), reports.frames("ct")
    paths = reports.write_series("ct", folder / "in")
    algorithm = replace(reports.ALGORITHM, udi="(01)00012345678905(10)A1")
    results: dict[str, tuple[Result, dict[str, object]]] = {
        "detector": (reports.mapped(image), {"algorithm": algorithm}),
        "other weights": (reports.nodule(image), {"algorithm": replace(algorithm, weights_digest="cd" * 32)}),
        "other code": (reports.nodule(image), {"algorithm": replace(algorithm, software_digest="cd" * 32)}),
        "regions": (reports.regions(image), {}),
        "in the patient": (_in_the_patient(), {}),
        "measured": (reports.segmented(frames), {"supersedes": (EARLIER,)}),
        "failed": (reports.failed(), {}),
        "not applicable": (reports.not_applicable(), {}),
    }
    return {
        name: [
            dcmread(one.path)
            for one in encode(reports.request(paths, result, profile=_profile(), job_id=name, **changes), folder / name)
        ]
        for name, (result, changes) in results.items()
    }


# --- looking --------------------------------------------------------------------------------------


def _report(objects: Objects, name: str) -> Dataset:
    return next(dataset for dataset in objects[name] if dataset.Modality == "SR")


def _of(objects: Objects, name: str, modality: str) -> Dataset | None:
    return next((dataset for dataset in objects[name] if dataset.Modality == modality), None)


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeMeaning) if names else str(item.get("ValueType", ""))


def _walk(item: Dataset, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Dataset]]:
    for child in item.get("ContentSequence") or ():
        here = (*path, _name(child))
        yield here, child
        yield from _walk(child, here)


def _where(document: Dataset, holds: Callable[[Dataset], bool]) -> str:
    """The way to the first content item of which `holds` is true; empty where there is none."""
    return next((" › ".join(path) for path, item in _walk(document) if holds(item)), "")


def _coded(code: str, value: str = "") -> Callable[[Dataset], bool]:
    """An item of this concept name (and, a CODE, of this value)."""

    def holds(item: Dataset) -> bool:
        names, values = item.get("ConceptNameCodeSequence"), item.get("ConceptCodeSequence")
        named = bool(names) and names[0].CodeValue == code
        return named and (not value or (bool(values) and values[0].CodeValue == value))

    return holds


def _graphic(value_type: str, graphic_type: str) -> Callable[[Dataset], bool]:
    return lambda item: (item.ValueType, item.get("GraphicType")) == (value_type, graphic_type)


def _answer(value: str) -> Callable[[Dataset], bool]:
    return lambda item: bool(item.get("ConceptCodeSequence")) and item.ConceptCodeSequence[0].CodeValue == value


def _measured(item: Dataset) -> bool:
    values = item.get("MeasuredValueSequence")
    return bool(values) and values[0].MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"


def _groups(document: Dataset) -> list[Dataset]:
    return [item for _, item in _walk(document) if _coded("125007")(item)]


def _each_group(document: Dataset, code: str) -> str:
    """In every measurement group an item of this concept name."""
    groups = _groups(document)
    found = [_where(group, _coded(code)) for group in groups]
    return f"each Measurement Group › {found[0]}" if groups and all(found) else ""


def _refers_to(document: Dataset, target: Dataset | None) -> str:
    if target is None:
        return ""
    uid = target.SOPInstanceUID
    return _where(
        document, lambda item: any(r.ReferencedSOPInstanceUID == uid for r in item.get("ReferencedSOPSequence") or ())
    )


def _contributing(dataset: Dataset) -> Dataset:
    return dataset.ContributingEquipmentSequence[0]


def _attributes(item: Dataset, *keywords: str) -> str:
    return ", ".join(keywords) if all(item.get(keyword) for keyword in keywords) else ""


_EQUIPMENT = (
    "PurposeOfReferenceCodeSequence",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceUID",
)


def _algorithm_everywhere(objects: Objects) -> str:
    found = {_attributes(_contributing(dataset), *_EQUIPMENT) for of in objects.values() for dataset in of}
    return f"ContributingEquipmentSequence of every object: {found.pop()}" if len(found) == 1 else ""


def _another_device(objects: Objects) -> str:
    devices = {_contributing(objects[name][0]).DeviceUID for name in ("detector", "other weights", "other code")}
    said = "DeviceUID: derived from maker, name, version and digests of weights and code, taken when they run"
    return said if len(devices) == 3 else ""


def _tracked_alike(objects: Objects) -> str:
    """The SEG's tracking UIDs are those of the groups that it shows."""
    seg = _of(objects, "measured", "SEG")
    tracked = {str(item.UID) for _, item in _walk(_report(objects, "measured")) if _coded("112040")(item)}
    own = {str(segment.TrackingUID) for segment in seg.SegmentSequence} if seg is not None else set()
    return "SegmentSequence › TrackingUID" if own and own <= tracked else ""


def _no_absence(document: Dataset, status: str) -> str:
    if _where(document, _answer("272519000")):
        return ""
    return _where(document, _coded("111017", status))


def _key_object(objects: Objects) -> str:
    ko = _of(objects, "detector", "KO")
    titled = ko is not None and ko.ConceptNameCodeSequence[0].CodeValue == "113000"
    return f"Key Object Selection {ko.ConceptNameCodeSequence[0].CodeMeaning!r}" if titled and ko is not None else ""


def _map(objects: Objects) -> Dataset | None:
    return next((dataset for dataset in objects["detector"] if "FloatPixelData" in dataset), None)


# --- the clauses ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clause:
    """One thing that the profile asks for, and where to look for it."""

    asks: str
    found: Callable[[Objects], str]
    but: str = ""
    """What is missing all the same."""
    note: str = ""
    """When it is so, where that is the site's or the maker's to say."""


def _in(name: str, holds: Callable[[Dataset], bool]) -> Callable[[Objects], str]:
    return lambda objects: _where(_report(objects, name), holds)


def _template(objects: Objects) -> str:
    (template,) = _report(objects, "detector").ContentTemplateSequence
    return f"{template.MappingResource} {template.TemplateIdentifier}"


def _selected(item: Dataset) -> bool:
    return item.ValueType == "SCOORD" and [child.ValueType for child in item.ContentSequence] == ["IMAGE"]


_RESULTS = (
    Clause(
        "AI results as Comprehensive 3D SR",
        lambda o: _report(o, "detector").SOPClassUID.name,
        note="with `preset: ai-results` or `sr_class`; by default Comprehensive SR, which more archives show",
    ),
    Clause("Root template TID 1500", _template),
    Clause("The procedure reported is the imaging procedure", _in("detector", _coded("121058", "25045-6"))),
    Clause("Qualitative findings: present", _in("detector", _answer("52101004"))),
    Clause("Qualitative findings: absent, written and not left out", _in("detector", _answer("272519000"))),
    Clause("Measurements with UCUM units", _in("measured", _measured)),
    Clause("Locations on the image", _in("regions", _graphic("SCOORD", "POINT"))),
    Clause("Locations in the patient", _in("in the patient", _graphic("SCOORD3D", "POINT"))),
    Clause("Regions as contours on the image", _in("regions", _graphic("SCOORD", "POLYLINE"))),
    Clause("Regions as contours in the patient", _in("in the patient", _graphic("SCOORD3D", "POLYGON"))),
    Clause(
        "Regions as Segmentation, named by the report",
        lambda o: _refers_to(_report(o, "measured"), _of(o, "measured", "SEG")),
        note="one for each image that has no position in the patient, such as the views of a mammogram or a clip",
    ),
    Clause(
        "Parametric maps, named by the report",
        lambda o: _refers_to(_report(o, "detector"), _map(o)),
        but="of images without a position in the patient a page in colour instead: the IOD wants a position",
    ),
)
_CONTEXT = (
    Clause("Tracking identifier", lambda o: _each_group(_report(o, "detector"), "112039")),
    Clause("Tracking unique identifier", lambda o: _each_group(_report(o, "detector"), "112040")),
    Clause("The same tracking identifier in Segmentation and report", _tracked_alike),
    Clause("References to the images used", _in("detector", lambda item: item.ValueType == "IMAGE")),
    Clause("Each region names its image", _in("regions", _selected)),
    Clause("Algorithm in Contributing Equipment Sequence (AIR 6.5.3.1)", _algorithm_everywhere),
    Clause("Device UID changes when the model does (AIR 6.5.3.1)", _another_device),
    Clause(
        "UDI of the algorithm",
        lambda o: _attributes(_contributing(_report(o, "detector")), "UDISequence"),
        note="where the manifest gives one",
    ),
    Clause("Algorithm of each finding (TID 4019)", lambda o: _each_group(_report(o, "detector"), "111001")),
    Clause(
        "Observer context: the device",
        _in("detector", _coded("121012")),
        note="without its role, which is optional: CID 7445 has none that an algorithm plays",
    ),
    Clause("Key images", _key_object),
    Clause("A failure is reported, nothing called absent", lambda o: _no_absence(_report(o, "failed"), "111224")),
    Clause(
        "What was not analysed is reported, nothing called absent",
        lambda o: _no_absence(_report(o, "not applicable"), "111225"),
    ),
    Clause(
        "A revision names what it replaces",
        lambda o: _attributes(_report(o, "measured"), "PredecessorDocumentsSequence"),
    ),
    Clause(
        "Display by presentation state",
        lambda o: _attributes(_of(o, "regions", "PR") or Dataset(), "GraphicAnnotationSequence"),
        but="none for colour images",
        note="with `kinds: pr`",
    ),
)
CLAUSES: Sequence[Clause] = (*_RESULTS, *_CONTEXT)


def rows(objects: Objects) -> list[tuple[str, str, str]]:
    """Clause, "yes", "partly" or "no", and where it was found."""
    made = []
    for clause in CLAUSES:
        found = clause.found(objects)
        met = ("partly" if clause.but else "yes") if found else "no"
        made.append((clause.asks, met, "; ".join(text for text in (found, clause.but, clause.note) if text)))
    return made
