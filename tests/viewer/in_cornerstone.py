"""`make viewer`: Cornerstone's adapters read our regions as the state of tools by which they can be edited."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.support.programs.peers import program
from tests.support.results import reports
from tests.viewer import studies
from tests.viewer.radiologist import distance, tracking_uids
from tests.viewer.studies import FORMS, Study

HERE = Path(__file__).resolve().parent
TOOLS = {
    "point": "Probe",
    "line": "Length",
    "box": "RectangleROI",
    "polygon": "PlanarFreehandROI",
    "ellipse": "EllipticalROI",
    "circle": "EllipticalROI",
}


def plane(image: Dataset) -> dict[str, object]:
    """The Image Plane module as Cornerstone has it."""
    orientation = [float(value) for value in image.ImageOrientationPatient]
    rows, columns = (float(value) for value in image.PixelSpacing)
    return {
        "frameOfReferenceUID": image.FrameOfReferenceUID,
        "imagePositionPatient": [float(value) for value in image.ImagePositionPatient],
        "imageOrientationPatient": orientation,
        "rowCosines": orientation[:3],
        "columnCosines": orientation[3:],
        "rowPixelSpacing": rows,
        "columnPixelSpacing": columns,
        "rows": image.Rows,
        "columns": image.Columns,
    }


def read_back(study: Study, folder: Path) -> dict[str, dict[str, Any]]:
    """The tool state of each region that the adapters could read, by the name that the plugin gave it."""
    images = folder / "images.json"
    images.write_text(json.dumps({str(study.image.SOPInstanceUID): plane(study.image)}))
    done = subprocess.run(
        [program("cornerstone", "node"), str(HERE / "read_back.mjs"), str(study.kind("sr")[0]), str(images)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=HERE,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("=== ")]
    assert len(lines) == 1, done.stdout[-1000:] + done.stderr[-2000:]
    names = {uid: name for name, uid in tracking_uids(study).items()}
    return {names[each["uid"]]: each for each in json.loads(lines[0].removeprefix("=== "))}


def on_chest(folder: Path, *names: str, **destination: object) -> Study:
    images = studies.chest(folder / "ct", "ADAPTERS", extent=(-4.0, 4.0))
    image = dcmread(images[len(images) // 2], stop_before_pixels=True)
    return studies.study(images, studies.regions(image, *names), folder / "results", **destination)


def test_every_form_of_region_comes_back_as_an_editable_tool(tmp_path: Path) -> None:
    """Preset `ohif`: tool, points, comment, finding, and the number exactly as the plugin said it."""
    study = on_chest(tmp_path, preset="ohif")
    found = read_back(study, tmp_path)
    assert {name: each["tool"] for name, each in found.items()} == TOOLS
    for finding in study.result.findings:
        name = str(finding.tracking_id)
        state = found[name]
        assert distance(FORMS[name].reshape(-1, 2), study.pixels(state["points"])) < 0.01, name
        assert (state["label"], state["finding"]) == (f"AI {name}", finding.code.meaning)
        for measurement in finding.measurements:
            stated = state["statistics"]["length" if name == "line" else "area"]
            assert float(stated) == pytest.approx(measurement.value, rel=1e-6), name
    assert found["polygon"]["closed"] is True


def test_boxes_and_points_come_back_without_being_named(tmp_path: Path) -> None:
    """Default settings: where the shape alone says what it is, a reader may take it over."""
    study = on_chest(tmp_path, "point", "box")
    found = read_back(study, tmp_path)
    assert {name: each["tool"] for name, each in found.items()} == {"point": "Probe", "box": "RectangleROI"}
    assert float(found["box"]["statistics"]["area"]) == pytest.approx(studies.area_of("box") * 1.40625**2, rel=1e-6)


def test_a_region_that_lies_20_pixels_off_is_noticed(tmp_path: Path) -> None:
    """The same comparison sees a box that was moved in the report."""
    study = on_chest(tmp_path, "box", preset="ohif")
    studies.moved(study.kind("sr")[0], "box", 20)
    points = study.pixels(read_back(study, tmp_path)["box"]["points"])
    assert distance(FORMS["box"], points) == pytest.approx(20, abs=0.01)


def test_finding_r13_deflated_segmentations_and_maps_are_read(tmp_path: Path) -> None:
    """dcmjs, with which the adapters and OHIF read both, inflates them: each frame has all of its pixels."""
    images = reports.write_series("ct", tmp_path / "in")
    mapped = reports.mapped(reports.reference("ct"))
    result = replace(reports.segmented(reports.frames("ct")), heatmaps=mapped.heatmaps)
    made = reports.whole(reports.request(images, result), tmp_path / "out")
    objects: dict[str, Path] = {one.kind: one.path for one in made if one.kind in {"seg", "pm"}}
    done = subprocess.run(
        [program("cornerstone", "node"), str(HERE / "read_pixels.mjs"), *map(str, objects.values())],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=HERE,
    )
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("=== ")]
    read = dict(zip(objects, json.loads(line.removeprefix("=== ")), strict=True))
    for kind, bits in (("seg", 1), ("pm", 32)):
        meant = dcmread(objects[kind])
        size = {"frames": meant.NumberOfFrames, "rows": meant.Rows, "columns": meant.Columns}
        assert read[kind] == size | {"bytes": meant.NumberOfFrames * meant.Rows * meant.Columns * bits // 8}, kind
