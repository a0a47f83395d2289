"""Reports of other makers: what they say is read or said not to be understood, never dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ComprehensiveSRStorage

from node.config.encoding import EncodingProfile
from node.reading.as_result import as_result
from node.reading.reader import read_sr
from node.reading.report import ReadCode
from node.reading.tree import name_of
from node.results.encode import encode
from tests.support.results import reports
from tests.support.shared_data import shared_data

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(value_type: str, name: Dataset, value: Any, *children: Dataset, relation: str = "CONTAINS") -> Dataset:
    """A content item as another maker writes it."""
    item = Dataset()
    item.ValueType, item.RelationshipType, item.ConceptNameCodeSequence = value_type, relation, [name]
    if value_type == "CODE":
        item.ConceptCodeSequence = [value]
    elif value_type == "NUM":
        measured = Dataset()
        measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, [code("mm", "UCUM", "millimeter")]
        item.MeasuredValueSequence = [measured]
    elif value_type != "CONTAINER":
        setattr(item, {"TEXT": "TextValue", "PNAME": "PersonName", "UIDREF": "UID", "DATE": "Date"}[value_type], value)
    if children:
        item.ContentSequence = list(children)
    return item


MEASUREMENTS, GROUP = code("126010", "DCM", "Imaging Measurements"), code("125007", "DCM", "Measurement Group")
LENGTH = code("G-D7FE", "SRT", "Length")
TRACKING_ID, TRACKING_UID = code("112039", "DCM", "Tracking Identifier"), code("112040", "DCM", "Tracking UID")
FINDING = code("121071", "DCM", "Finding")


def report(*items: Dataset, **attributes: Any) -> Dataset:
    """A TID 1500 with these items below its root."""
    document = Dataset()
    document.SOPInstanceUID, document.StudyInstanceUID, document.ValueType = "1.2.3", "1.2", "CONTAINER"
    document.ConceptNameCodeSequence = [code("126000", "DCM", "Imaging Measurement Report")]
    document.ContentSequence = list(items)
    for keyword, value in attributes.items():
        setattr(document, keyword, value)
    return document


def group(*items: Dataset) -> Dataset:
    return content("CONTAINER", MEASUREMENTS, None, content("CONTAINER", GROUP, None, *items))


def modifier(name: Dataset, value: Dataset, *children: Dataset) -> Dataset:
    return content("CODE", name, value, *children, relation="HAS CONCEPT MOD")


@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM"])
def test_finding_t2_older_codes_of_sites_sides_and_methods_are_understood(scheme: str) -> None:
    """SNOMED as it was written before 2018, under each of its names, at groups and at numbers."""
    side = modifier(code("G-C171", scheme, "Laterality"), code("G-A100", scheme, "Right"))
    site = modifier(code("G-C0E3", scheme, "Finding Site"), code("T-28000", scheme, "Lung"), side)
    method = modifier(code("G-C036", scheme, "Measurement Method"), code("M1", "99X", "Caliper"))
    read = read_sr(
        report(group(content("CODE", FINDING, code("N", "99X", "Nodule")), site, content("NUM", LENGTH, "5", method)))
    )
    assert read.lines()[-2:] == ["Nodule (Lung, Right)", "  Length: 5 mm, by Caliper"]
    assert read.not_understood == ()


LUNG = (code("363698007", "SCT", "Finding Site"), code("39607008", "SCT", "Lung"))
UPPER = (code("106233006", "SCT", "Topographical modifier"), code("261183002", "SCT", "Upper"))
RIGHT = code("24028007", "SCT", "Right")


@pytest.mark.parametrize(
    ("items", "place"),
    [
        ((modifier(*LUNG, modifier(*UPPER), modifier(code("272741003", "SCT", "Laterality"), RIGHT)),), "Upper, Right"),
        ((modifier(*LUNG, modifier(*UPPER), modifier(code("G-A1F8", "SRT", "Topo"), RIGHT)),), "Upper, Right"),
        ((modifier(*LUNG), modifier(*UPPER), modifier(code("272741003", "SCT", "Laterality"), RIGHT)), "Upper, Right"),
        ((modifier(*LUNG, modifier(UPPER[0], code("P", "99X", "Peripheral")), modifier(*UPPER)),), "Peripheral, Upper"),
    ],
)
def test_finding_t2_topographical_modifiers_of_a_site_are_understood(items: tuple[Dataset, ...], place: str) -> None:
    """Below the site or beside it, several, one that is the side; at numbers as well, in words and as data."""
    read = read_sr(report(group(content("CODE", FINDING, code("N", "99X", "Nodule")), *items)))
    assert read.lines()[-1] == f"Nodule (Lung, {place})"
    assert read.not_understood == ()
    site = as_result(read)["findings"][0]["site"]
    sides = [site["laterality"]] if "laterality" in site else []
    assert ", ".join(each["meaning"] for each in (*site["modifiers"], *sides)) == place
    of_number = read_sr(report(group(content("NUM", LENGTH, "5", *items))))
    assert of_number.not_understood == ()


def test_finding_t2_a_method_of_the_group_is_that_of_its_numbers() -> None:
    """As dcmqi writes it; a number's own counts more."""
    of_group = modifier(code("370129005", "SCT", "Measurement Method"), code("A", "99X", "Automatic"))
    of_number = modifier(code("370129005", "SCT", "Measurement Method"), code("M", "99X", "Manual"))
    read = read_sr(report(group(of_group, content("NUM", LENGTH, "5"), content("NUM", LENGTH, "6", of_number))))
    assert [number.method.meaning for number in read.findings[0].measurements if number.method] == [
        "Automatic",
        "Manual",
    ]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ((content("NUM", LENGTH, "12"),), "  Length: 12 mm"),
        (
            (content("CONTAINER", MEASUREMENTS, None, content("NUM", LENGTH, "12")),),
            "  Imaging Measurements / Length: 12 mm",
        ),
        (
            (content("CONTAINER", code("X", "99X", "Coronaries"), None, content("NUM", LENGTH, "12")),),
            "  Coronaries / Length: 12 mm",
        ),
        (
            (group(content("CONTAINER", code("X", "99X", "Details"), None, content("TEXT", FINDING, "Mass"))),),
            "  Imaging Measurements / Measurement Group / Details / Finding: Mass",
        ),
        ((content("DATE", code("X", "99X", "Date of onset"), "20240101"),), "  Date of onset: 20240101"),
    ],
)
def test_finding_t2_what_stands_in_an_odd_place_is_said_with_its_value(items: tuple[Dataset, ...], words: str) -> None:
    """The title alone would read as a negative: the item, where it is and what it says are printed, and counted."""
    read = read_sr(report(*items))
    assert read.lines()[-2:] == ["1 content item not understood:", words]
    assert as_result(read)["report"]["not_understood"][0]["value"] in words


def test_finding_t2_groups_are_found_wherever_they_are() -> None:
    """A measurement group in a container that the template does not have is a finding like any other."""
    read = read_sr(
        report(
            content("CONTAINER", code("X", "99X", "Lesions"), None, *group(content("NUM", LENGTH, "5")).ContentSequence)
        )
    )
    assert [number.value for finding in read.findings for number in finding.measurements] == [5]


def test_finding_t2_who_made_it_and_that_it_is_partial_is_said() -> None:
    """A person, a device, and the report's own word that it is not complete."""
    person = content("PNAME", code("121008", "DCM", "Person Observer Name"), "Doe^Jane", relation="HAS OBS CONTEXT")
    device = content("TEXT", code("121013", "DCM", "Device Observer Name"), "Finder", relation="HAS OBS CONTEXT")
    read = read_sr(report(person, device, group(content("NUM", LENGTH, "5")), CompletionFlag="PARTIAL"))
    assert read.lines()[1:4] == [
        "PARTIAL: the report says of itself that it is not complete",
        "Observer: Doe^Jane",
        "Observer: Finder",
    ]
    said = as_result(read)["report"]
    assert (said["person"], said["observer"], said["partial"]) == ("Doe^Jane", "Finder", True)


def test_finding_t2_an_algorithm_within_a_number_is_shown_with_it() -> None:
    """As some makers write it, instead of at the group."""
    name = content("TEXT", code("111001", "DCM", "Algorithm Name"), "Finder", relation="HAS CONCEPT MOD")
    version = content("TEXT", code("111003", "DCM", "Algorithm Version"), "2.1", relation="HAS CONCEPT MOD")
    read = read_sr(report(group(content("NUM", LENGTH, "5", name, version))))
    assert read.lines()[-1] == "  Length: 5 mm, by Finder 2.1"
    assert as_result(read)["findings"][0]["measurements"][0]["algorithm"] == "Finder 2.1"


@pytest.mark.parametrize(
    ("second", "lesions"),
    [(("1.2.9", "A", "N"), 1), (("1.2.9", "B", "N"), 2), (("1.2.9", "A", "M"), 2), (("1.2.8", "A", "N"), 2)],
)
def test_finding_t3_two_groups_are_one_lesion_only_where_all_agrees(second: tuple[str, str, str], lesions: int) -> None:
    """Tracking UID, identifier and finding: one producer gives every box of a report one UID."""
    groups = [
        content(
            "CONTAINER",
            GROUP,
            None,
            content("TEXT", TRACKING_ID, name, relation="HAS OBS CONTEXT"),
            content("UIDREF", TRACKING_UID, uid, relation="HAS OBS CONTEXT"),
            content("CODE", FINDING, code(finding, "99X", finding)),
        )
        for uid, name, finding in (("1.2.9", "A", "N"), second)
    ]
    read = read_sr(report(content("CONTAINER", MEASUREMENTS, None, *groups)))
    assert (len(read.findings), read.lesions) == (2, lesions)
    assert ("2 measurement groups of 1 lesions" in read.lines()) is (lesions == 1)


def test_finding_t3_groups_without_a_tracking_uid_are_lesions_of_their_own() -> None:
    """Nothing says that two of them are one."""
    read = read_sr(
        report(content("CONTAINER", MEASUREMENTS, None, *(content("CONTAINER", GROUP, None) for _ in range(3))))
    )
    assert read.lesions == 3


PUBLIC = {
    "ImagingDataCommons_highdicom/data/test_files/sr_document.dcm": 3,
    "ImagingDataCommons_highdicom/data/test_files/sr_document_with_multiple_groups.dcm": 1,
    "QIICR_dcmqi/data/sr-example/sr.dcm": 1,
    "dcmjs-org_dcmjs/test/sample-sr.dcm": 0,
    "dcmjs-org_dcmjs/examples/data/structured_report.dcm": 0,
}


@pytest.mark.parametrize("name", PUBLIC)
def test_finding_t2_every_value_of_a_public_report_is_printed(name: str) -> None:
    """Each number, but for those that the images have, is in what is printed; so is what was not understood."""
    document = dcmread(shared_data(name))
    read = read_sr(document)
    printed = "\n".join(read.lines())
    for item in _items(document):
        if item.get("ValueType") == "NUM" and item.get("MeasuredValueSequence"):
            measured = item.MeasuredValueSequence[0]
            assert f"{float(measured.get('FloatingPointValue') or measured.NumericValue):.10g}" in printed
    assert len(read.not_understood) == PUBLIC[name], read.not_understood


def _items(item: Dataset) -> list[Dataset]:
    found = []
    for child in item.get("ContentSequence") or ():
        if name_of(child).value != "111028":  # Image Library: attributes of the images
            found += [child, *_items(child)]
    return found


@pytest.mark.parametrize("name", reports.RESULTS)
def test_finding_t2_nothing_of_our_own_reports_is_not_understood(tmp_path: Path, name: str) -> None:
    """Of every kind of result: what we write we read."""
    paths = reports.write_series("ct", tmp_path / "in")
    request = reports.request(
        paths, reports.RESULTS[name](reports.reference("ct")), profile=EncodingProfile(kinds=frozenset({"sr", "ko"}))
    )
    (sr,) = (made for made in encode(request, tmp_path / "out") if made.kind == "sr")
    assert read_sr(sr.path).not_understood == ()


def _number(*stated: dict[str, Any]) -> Dataset:
    """A length with an item for each of these values."""
    number = content("NUM", LENGTH, "5")
    unit = number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    number.MeasuredValueSequence = []
    for values in stated:
        measured = Dataset()
        measured.MeasurementUnitsCodeSequence = unit
        for keyword, value in values.items():
            setattr(measured, keyword, value)
        number.MeasuredValueSequence.append(measured)
    return number


UNCERTAIN: dict[str, tuple[list[dict[str, Any]], str]] = {
    "two values": ([{"NumericValue": ["1", "2"]}], "1 or 2 mm"),
    "two items": ([{"NumericValue": "1"}, {"NumericValue": "2"}], "1 or 2 mm"),
    "another as floating point": ([{"NumericValue": "1", "FloatingPointValue": 2.5}], "1 or 2.5 mm"),
}


@pytest.mark.parametrize(("stated", "words"), UNCERTAIN.values(), ids=UNCERTAIN)
def test_finding_n1_a_number_that_is_two_is_said_and_not_taken(stated: list[dict[str, Any]], words: str) -> None:
    """Which one is meant is not certain: neither is a measurement, and both are told."""
    read = read_sr(report(group(content("CODE", FINDING, code("N", "99X", "Nodule")), _number(*stated))))
    assert read.findings[0].measurements == ()
    assert [value for _, value in read.not_understood] == [words]


@pytest.mark.parametrize("text", [b"1,5 ", b"1_0 ", b"five"])
def test_finding_n1_a_number_that_is_none_does_not_cost_the_report(tmp_path: Path, text: bytes) -> None:
    """A comma, an underscore or a word: told as it is, and the rest of the report is read."""
    document = report(group(content("CODE", FINDING, code("N", "99X", "Nodule")), _number({"NumericValue": "7.25"})))
    document.SOPClassUID = ComprehensiveSRStorage
    path = reports.write(document, tmp_path / "report.dcm")
    content_of_file = path.read_bytes()
    assert content_of_file.count(b"7.25") == 1
    path.write_bytes(content_of_file.replace(b"7.25", text))
    read = read_sr(path)
    assert (read.findings[0].finding or ReadCode("", "", "")).meaning == "Nodule"
    assert [value for _, value in read.not_understood] == [f"{text.decode().strip()} mm"]


def test_finding_n1_a_number_rounded_for_people_is_one() -> None:
    """Beside the exact value a decimal string with fewer digits is no second one."""
    rounded = _number({"NumericValue": "5.12", "FloatingPointValue": 5.1234})
    read = read_sr(report(group(content("CODE", FINDING, code("N", "99X", "Nodule")), rounded)))
    assert [each.value for each in read.findings[0].measurements] == [5.1234]
