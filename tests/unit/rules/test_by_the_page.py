"""Random rules on random studies: the node, a test beside the rule, and an evaluator written from the page agree."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset

from node.config.dictionary import DataDictionary
from node.config.models import Configuration
from node.desk import files
from rules import given
from rules.engine import decide
from rules.facts import StudyFacts
from rules.model import DICTIONARY, Rule
from tests.support.rules.from_the_page import Image, chosen

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
SITE = Configuration.model_validate({"node": {"time_zone": "UTC"}})
CHEST = {"CodeValue": "51185008", "CodingSchemeDesignator": "SCT"}
HEAD = {"CodeValue": "69536005", "CodingSchemeDesignator": "SCT"}
PROCESSED = {"PurposeOfReferenceCodeSequence": [{"CodeValue": "109102", "CodingSchemeDesignator": "DCM"}]}
VALUES: dict[str, list[Any]] = {
    "Modality": ["CT", "MR", "DX"],
    "SliceThickness": [0.5, 1.0, 1.25, 5.0, 0.30000001],
    "EchoTime": [4.6, 4.62, 90.0],
    "PixelSpacing": [[0.5, 0.5], [0.5, 1.0]],
    "SeriesNumber": [1, 2, 1000001, 1000002],
    "EchoNumbers": [1, 2],
    "ImageType": [
        ["ORIGINAL", "PRIMARY", "AXIAL"],
        ["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ["DERIVED", "PRIMARY"],
        "DERIVED",
    ],
    "SeriesDescription": ["Thorax 1.0", "thorax", "T2*", "\u1112\u1172\u11bc\u1107\u116e", "흉부", "localizer"],
    "StudyDescription": ["CT Chest", "chest", "Head"],
    "StationName": ["CT1", "ct1", "XR"],
    "StudyDate": ["20240301", "20240302", "2024.03.01", "20240101XYZ"],
    "AcquisitionDate": ["20240301", "20240303", "20240330"],
    "StudyTime": ["0830", "083000", "120000.5", "2561"],
    "PatientAge": ["045Y", "017Y", "018M", "010D", "none"],
    "PatientBirthDate": ["19790301", "20060301", "20230930"],
    "ImageLaterality": ["L", "X"],
    "Laterality": ["R", "L", "B"],
    "ImageOrientationPatient": [
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0, 0.0, 0.0, -1.0],
        [1.0, 0.0, 0.0, 0.0, 0.7986, 0.6018],
    ],
    "AnatomicRegionSequence": [[CHEST], [HEAD], [CHEST, HEAD]],
    "ContributingEquipmentSequence": [[PROCESSED]],
    "AdditionalPatientHistory": ["short", "x" * 1400],
}
RARE = {"ContributingEquipmentSequence": 0.05, "AdditionalPatientHistory": 0.2, "Modality": 0.95}
NUMBERS: dict[str, list[float]] = {
    "SliceThickness": [0.3, 1, 1.25, 5],
    "EchoTime": [4.6, 90],
    "PixelSpacing": [0.5, 1],
    "SeriesNumber": [2, 1000002],
}
TEXTS = {
    "Modality": ["CT", "MR", "DX", "SC"],
    "SeriesDescription": ["thorax", "흉부", "Thorax 1.0"],
    "StationName": ["CT1", "XR"],
    "AdditionalPatientHistory": ["short"],
}
PATTERNS = ["*thorax*", "*chest*", "*흉부*", "t*1*", "chest", "*"]


def pick(dice: random.Random, ways: Any) -> Any:
    return dice.choice(ways)


def image_of(dice: random.Random, shared: dict[str, Any]) -> dict[str, Any]:
    own = {}
    for keyword, values in VALUES.items():
        if keyword in shared:
            own[keyword] = shared[keyword]
        elif dice.random() < RARE.get(keyword, 0.5):
            own[keyword] = pick(dice, values)
    return own


def study_of(dice: random.Random) -> list[tuple[int, dict[str, Any]]]:
    """(number of the series, attributes) of each image."""
    made = []
    of_study = image_of(dice, {})
    constant = {key: of_study[key] for key in ("StudyDate", "PatientBirthDate", "StudyDescription") if key in of_study}
    for number in range(pick(dice, [1, 2, 3])):
        of_series = {**image_of(dice, {}), **(constant if dice.random() < 0.8 else {})}
        for _ in range(pick(dice, [1, 1, 2, 3])):
            changed = dice.sample(list(VALUES), pick(dice, [0, 0, 1, 2]))
            kept = {key: value for key, value in of_series.items() if key not in changed}
            drawn = {key: pick(dice, VALUES[key]) for key in changed if key != "Modality" and dice.random() < 0.7}
            made.append(
                (number, {**kept, **drawn, **({"Modality": of_series["Modality"]} if "Modality" in of_series else {})})
            )
    return made


def clause_of(dice: random.Random) -> dict[str, Any]:
    missing = pick(dice, [{}, {}, {}, {"missing": True}, {"missing": "error"}])
    kind = dice.randrange(9)
    if kind == 0:
        return {pick(dice, list(VALUES)): {"present": dice.random() < 0.5}}
    if kind in (1, 2):
        keyword = pick(dice, list(NUMBERS))
        low, high = sorted(dice.choices(NUMBERS[keyword], k=2))
        asked = pick(
            dice,
            [
                {"at_least": low},
                {"at_most": low},
                {"above": low},
                {"below": high},
                {"between": [low, high]},
                {"is": low},
                {"in": [low, high]},
            ],
        )
        return {keyword: {**asked, **missing, **(pick(dice, [{}, {}, {"tolerance": 0.05}]))}}
    if kind in (3, 4):
        keyword = pick(dice, list(TEXTS))
        asked = pick(
            dice,
            [{"is": pick(dice, TEXTS[keyword])}, {"in": TEXTS[keyword][:2]}, {"matches": dice.sample(PATTERNS, 2)}],
        )
        return {keyword: {**asked, **missing, **(pick(dice, [{}, {}, {"case_sensitive": True}]))}}
    if kind == 5:
        return pick(
            dice,
            [
                {"ImageType": {"contains": dice.sample(["ORIGINAL", "PRIMARY", "AXIAL", "LOCALIZER"], 2)}},
                {"AnatomicRegionSequence": {"code": ["SCT:51185008"], **missing}},
                {"AnatomicRegionSequence.CodeValue": {"is": "69536005", **missing}},
            ],
        )
    if kind == 6:
        asked = pick(
            dice, [{"is": "StudyDate"}, {"after": "2024-03-01"}, {"between": ["StudyDate", "StudyDate + 2 days"]}]
        )
        return {pick(dice, ["StudyDate", "AcquisitionDate"]): {**asked, **missing}}
    if kind == 7:
        age = pick(dice, [{"at_least": 18}, {"below": "20 months"}, {"at_most": 17}, {"between": ["5 days", 45]}])
        return {"patient_age": {**age, **missing}}
    return pick(
        dice,
        [
            {"laterality": pick(dice, ["left", "right"])},
            {"slice_plane": pick(dice, ["axial", "coronal", "oblique"])},
            {"StudyTime": {pick(dice, ["before", "after"]): "08:30", **missing}},
            {"StudyTime": {"between": ["08:00", "12:00"], **missing}},
        ],
    )


def condition_of(dice: random.Random, level: str, depth: int = 0) -> dict[str, Any]:
    if depth > 2 or dice.random() < 0.45:
        return clause_of(dice)
    inner = depth + 1
    ways = ["all", "any", "not"]
    ways += ["any_image", "every_image", "no_image", "count_images"] if level in ("study", "series") else []
    ways += ["any_series", "every_series", "no_series", "count_series"] if level == "study" else []
    way = pick(dice, ways)
    if way in ("all", "any"):
        return {way: [condition_of(dice, level, inner) for _ in range(2)]}
    if way == "not":
        return {"not": condition_of(dice, level, inner)}
    below = "series" if way.endswith("series") else "image"
    if way.startswith("count"):
        bound = pick(dice, [{"is": 0}, {"is": 1}, {"at_least": 1}, {"at_most": 1}, {"between": [1, 2]}, {"above": 0}])
        return {way: {"where": condition_of(dice, below, inner), **bound}}
    return {way: condition_of(dice, below, inner)}


def rule_of(dice: random.Random) -> dict[str, Any]:
    choose: dict[str, Any] = {"where": condition_of(dice, "series", 1), "take": pick(dice, ["one", "all"])}
    choose |= pick(dice, [{}, {"images": "any"}])
    choose |= pick(dice, [{}, {}, {"only_images": condition_of(dice, "image", 2)}])
    lines = [
        {"SliceThickness": "smallest"},
        {"AcquisitionDate": "newest"},
        {"StudyTime": "oldest"},
        {"SeriesDescription": ["*thorax*", "*흉부*"]},
        {"image_count": "largest"},
    ]
    choose |= pick(dice, [{}, {"prefer": dice.sample(lines, 2)}])
    return {"name": "r", "when": condition_of(dice, "study"), "choose": choose, "run": "p", "mode": "shadow"}


def data_set(number: int, place: int, attributes: dict[str, Any]) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        several = value if isinstance(value, list) and value and isinstance(value[0], dict) else None
        setattr(made, keyword, value if several is None else [data_set(-1, 0, each) for each in several])
    if number >= 0:
        made.SpecificCharacterSet = "ISO_IR 192"
        made.SOPClassUID, made.SOPInstanceUID = CT, f"1.2.3.{10001 + number}.{place}"
        made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", f"1.2.3.{10001 + number}"
        made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 16, 16, 15
        made.SamplesPerPixel, made.PixelRepresentation, made.PhotometricInterpretation = 1, 0, "MONOCHROME2"
        made.PixelData = b"\0\0"
    return made


def received(images: list[Dataset], folder: Path) -> StudyFacts:
    """What the node sees of these data sets as files."""
    folder.mkdir()
    for place, image in enumerate(images):
        meta: Any = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, image.SOPInstanceUID
        meta.TransferSyntaxUID = EXPLICIT
        image.file_meta = meta
        image.save_as(folder / f"{place}.dcm", enforce_file_format=True)
    found = files.studies_in([folder], datetime(2024, 3, 1, 12, tzinfo=UTC), SITE)
    assert not found.skipped
    return found.studies[0]


def described(images: list[tuple[int, dict[str, Any]]]) -> StudyFacts:
    """What a test beside rules sees of the same study."""
    numbers = sorted({number for number, _ in images})
    series = [{"images": [{**own, "SOPClassUID": CT} for number, own in images if number == each]} for each in numbers]
    facts, problems = given.read({"received": "2024-03-01 12:00", "series": series}, DataDictionary())
    assert problems == []
    assert facts is not None
    return facts


def taken(rule: Rule, facts: StudyFacts) -> list[list[str]] | None:
    (decision,) = decide([rule], facts)
    return [[each.series_instance_uid for run in decision.runs for each in run.inputs]] if decision.matched else None


def test_finding_q4_node_tests_and_page_agree_by_the_page(tmp_path: Path, full_length: bool) -> None:
    """Each rule on each study: matched or not, and the same series in the same order, by all three."""
    dice = random.Random("by the page")
    matched = 0
    for number in range(2000 if full_length else 40):
        images = study_of(dice)
        sets = [data_set(of_series, place, own) for place, (of_series, own) in enumerate(images)]
        seen, test = received(sets, tmp_path / f"{number}"), described(images)
        by_page = [Image(each) for each in sets]
        for _ in range(12):
            plain = rule_of(dice)
            rule = Rule.model_validate(plain, context={DICTIONARY: DataDictionary()})
            expected = chosen(plain, by_page)
            assert taken(rule, seen) == expected, (plain, images)
            assert taken(rule, test) == expected, (plain, images)
            matched += expected is not None
    assert matched > (500 if full_length else 20)
