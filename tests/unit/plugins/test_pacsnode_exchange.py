"""The one file for older interpreters: Python 3.8 and NumPy, alone in its process, with the numbers of the contract."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from plugins import exchange, handed_on, imaging, pacsnode_exchange
from plugins.contract import (
    Code,
    Finding,
    ImageReference,
    NotApplicableError,
    ResultStatus,
    Segment,
    Segmentation,
)
from plugins.earlier import EarlierResult
from plugins.exchange import InputFile, InputResult, InputSeries, PluginReference, Request, RequestFacts
from tests.support.shared_data import shared_data
from tests.unit.plugins.test_imaging import enhanced, stack

SOURCE = Path(pacsnode_exchange.__file__)
TREE = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8))
ALLOWED = {
    "collections": {"namedtuple"},
    "functools": {"partial"},
    "json": {"dumps", "load"},
    "math": {"radians", "tan"},
    "os": {"fsync", "listdir", "makedirs", "path", "replace"},
    "os.path": {"basename", "getsize", "join"},
    "shutil": {"copyfile"},
    "struct": {"error", "unpack"},
    "sys": {"argv"},
    "traceback": {"extract_tb", "format_exc"},
    "typing": {"TYPE_CHECKING", "Any"},
}
"""Module → what the file uses of it; Python 3.8 and older have all of it."""
NEWER = {
    *(
        "removeprefix",
        "removesuffix",
        "is_relative_to",
        "readlink",
        "hardlink_to",
        "with_stem",
        "bit_count",
        "pairwise",
    ),
    *(
        "batched",
        "cache",
        "lcm",
        "nextafter",
        "ulp",
        "unparse",
        "to_thread",
        "file_digest",
        "add_note",
        "walk_packages",
    ),
}
"""Names of the standard library that came after 3.8."""

ANALYSE = """
import sys

sys.modules["plugins"] = None  # whoever imports the contract fails

import pacsnode_exchange as exchange


def analyse(job):
    if job.parameters["how"] == "not":
        raise exchange.NotApplicable("The slices are 8 mm thick.")
    if job.parameters["how"] == "wrong":
        raise KeyError("a patient's name")
    volume = exchange.read_volume(job.by_role("current"))
    mask = volume.array > job.parameters["threshold_hu"]
    litres = float(mask.sum()) * volume.voxel_volume / 1000
    body = exchange.finding(
        ("BODY", "99ACME", "Body"),
        present=True,
        score=0.75,
        segments=[3],
        measurements=[exchange.measurement(("118565006", "SCT", "Volume"), litres, "L")],
        regions=[exchange.box(volume.frames[0], 1, 2, 2, 1), exchange.point(volume.frames[1], 1.5, 0.5)],
        site=exchange.site(("51185008", "SCT", "Chest"), ("7771000", "SCT", "Left")),
    )
    part = exchange.segment(3, "Body", ("91723000", "SCT", "Anatomical Structure"), ("38266002", "SCT", "Entire body"))
    return exchange.result(
        "findings",
        "Found.",
        findings=[body],
        segmentation=exchange.segmentation(mask, volume.frames, [part]),
        heatmaps=[exchange.heatmap(volume.array, volume.frames, ("130404", "DCM", "Saliency"))],
        key_images=[exchange.key_image(volume.frames[2], "largest", window=(40, 400))],
        pictures=[exchange.picture(exchange.np.zeros((9, 9, 3), "uint8"), "black")],
        objects=[exchange.returned(job, job.by_role("current").files[0]) for _ in range(2)],
    )


if __name__ == "__main__":
    exchange.main(analyse)
"""


def series_of(files: list[Path]) -> Any:
    uids = [str(pydicom.dcmread(path, stop_before_pixels=True).get("SOPInstanceUID", "")) for path in files]
    return pacsnode_exchange.ExchangedSeries("1.2.3", "CT", "", "", [str(path) for path in files], uids)


def run(tmp_path: Path, how: str, interpreter: str = sys.executable) -> tuple[Any, list[Path]]:
    """One job in a process of its own, with nothing of this repository on its path but the copied file."""
    program = tmp_path / "program"
    folder = tmp_path / "job"
    (folder / "in" / "1").mkdir(parents=True)
    program.mkdir()
    (program / SOURCE.name).write_bytes(SOURCE.read_bytes())
    (program / "analyse.py").write_text(ANALYSE)
    files = stack(folder / "in" / "1")
    given = tuple(InputFile(f"1/{path.name}", f"1.2.3.{n + 1}", 1, "1.9", 3, 4) for n, path in enumerate(files))
    request = Request(
        "job",
        PluginReference("Old", "1", str(program)),
        RequestFacts("1.2"),
        (InputSeries("1.2.3", "CT", given, "", "current"),),
        {"how": how, "threshold_hu": -700.0},
    )
    exchange.write_request(folder, request)
    ended = subprocess.run(
        [interpreter, "-E", "-s", "analyse.py", str(folder)],
        cwd=program,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return exchange.read(folder, request), files


def test_the_file_is_python_3_8_and_uses_what_that_has():
    """Its grammar, its imports, and all that it uses of the standard library."""
    imported = {alias.name for node in ast.walk(TREE) if isinstance(node, ast.Import) for alias in node.names}
    used: dict[str, set[str]] = {}
    for node in ast.walk(TREE):
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "collections.abc"):
            used.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
        if isinstance(node, ast.Attribute):
            module = ast.unparse(node.value)
            if module in imported | {"os.path"} and module != "np":
                used.setdefault(module, set()).add(node.attr)
    assert imported - set(ALLOWED) == {"numpy"}
    assert used == ALLOWED
    names = {node.attr for node in ast.walk(TREE) if isinstance(node, ast.Attribute)}
    assert names & NEWER == set()


def test_what_runs_needs_no_newer_types_or_keywords():
    """`X | Y` of types and `zip(strict=…)` are there in annotations at most, which no interpreter evaluates."""
    annotations = [
        part
        for node in ast.walk(TREE)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if part is not None
    ]
    quiet = {id(each) for part in annotations for each in ast.walk(part)}
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in TREE.body)
    unions = [node for node in ast.walk(TREE) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)]
    assert [ast.unparse(node) for node in unions if id(node) not in quiet] == []
    keywords = [node.arg for node in ast.walk(TREE) if isinstance(node, ast.keyword)]
    assert "strict" not in keywords
    subscripts = [
        ast.unparse(node) for node in ast.walk(TREE) if isinstance(node, ast.Subscript) and id(node) not in quiet
    ]
    assert [each for each in subscripts if each.startswith(("list[", "dict[", "tuple["))] == []


def test_a_command_speaks_the_exchange_by_this_file_alone(tmp_path):
    """Findings, score, regions, mask, heat map and pictures arrive as the contract has them, in its numbers."""
    reading, files = run(tmp_path, "findings")
    result = reading.result
    volume = imaging.volume(files)
    (body,) = result.findings
    assert result.status is ResultStatus.FINDINGS
    assert body.score.value == 0.75
    assert body.measurements[0].value == pytest.approx((volume.array > -700).sum() * volume.voxel_volume / 1000)
    assert body.measurements[0].unit.meaning == "liter"
    assert body.regions[0].points.tolist() == [[1, 2], [3, 3]]
    assert body.site.laterality.meaning == "Left"
    assert np.array_equal(np.array(result.segmentation.labels), np.where(volume.array > -700, 3, 0))
    assert result.segmentation.frames == volume.frames
    assert np.array_equal(np.array(result.heatmaps[0].values), volume.array)
    assert result.key_images[0].window == (40, 400)
    assert result.pictures[0].pixels.shape == (9, 9, 3)
    assert [each.file.read_bytes() for each in result.objects] == [files[0].read_bytes()] * 2
    assert reading.ignored == ()


def test_a_reason_and_an_error_become_results(tmp_path):
    """Not applicable with its reason; an exception in plain words, with its line for the admin, no patient's data."""
    reading, _ = run(tmp_path / "a", "not")
    assert (reading.result.status, reading.result.summary) == (
        ResultStatus.NOT_APPLICABLE,
        "The slices are 8 mm thick.",
    )
    reading, _ = run(tmp_path / "b", "wrong")
    assert reading.result.status is ResultStatus.FAILED
    assert "KeyError" not in reading.result.summary
    assert reading.error == "KeyError, analyse.py line 13"
    assert "a patient's name" in (tmp_path / "b" / "job" / "out" / "worker.log").read_text()


def same(files: list[Path]) -> None:
    theirs, ours = pacsnode_exchange.read_volume(series_of(files)), imaging.volume(files)
    assert np.array_equal(theirs.array, ours.array)
    assert theirs.affine == pytest.approx(ours.affine)
    assert theirs.spacing == pytest.approx(ours.spacing)
    assert theirs.voxel_volume == pytest.approx(ours.voxel_volume)
    assert [uid for uid, _ in theirs.frames] == [frame.sop_instance_uid for frame in ours.frames]
    assert theirs.frame_of_reference_uid == ours.frame_of_reference_uid


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (0.8, 0.6, 0, -0.6, 0.8, 0)])
def test_volumes_are_those_of_the_contract(tmp_path, orientation):
    """Order, geometry, bits and scale, in whatever order the files are."""
    normal = np.cross(orientation[:3], orientation[3:])

    def change(number: int, dataset: pydicom.Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.5 + number, -1000.25
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new((0x0008, 0x1140), "SQ", [pydicom.Dataset()])
        dataset[0x0008, 0x1140].is_undefined_length = True

    files = stack(tmp_path, step=tuple(-1.5 * normal), orientation=orientation, change=change)
    same([files[index] for index in (3, 0, 4, 1, 2)])


def height(path: Path) -> float:
    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


@pytest.mark.parametrize("name", ["FNNDSC_data/dicom/rsna_2/PET", "QIICR_dcmqi"])
def test_real_volumes_are_those_of_the_contract(name):
    """Uncompressed series of real scanners: implicit VR with a slope for each slice, explicit VR, private sequences."""
    files = sorted(path for path in shared_data(name).rglob("*.dcm") if path.is_file())
    by_series: dict[str, list[Path]] = {}
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if header.get("Modality") in ("CT", "MR", "PT") and "NumberOfFrames" not in header:
            by_series.setdefault(str(header.SeriesInstanceUID), []).append(path)
    assert by_series
    for each in by_series.values():
        same(sorted(each, key=height)[:60])


REFUSED: dict[str, tuple[Any, str]] = {
    "a rescale missing": (lambda n, d: d.__delitem__("RescaleSlope") if n == 2 else None, "RescaleIntercept alone"),
    "no rescale": (lambda _, d: (d.__delitem__("RescaleSlope"), d.__delitem__("RescaleIntercept")), "no rescale"),
    "a high bit that lies": (lambda _, d: setattr(d, "HighBit", 14), "HighBit 14"),
    "another orientation": (
        lambda n, d: setattr(d, "ImageOrientationPatient", [0, 1, 0, 1, 0, 0] if n else [1, 0, 0, 0, 1, 0]),
        "ImageOrientationPatient",
    ),
    "two echoes": (lambda n, d: setattr(d, "EchoTime", 5 + n), "differ in EchoTime"),
    "two kernels": (
        lambda n, d: setattr(d, "ConvolutionKernel", f"B{30 + 40 * (n % 2)}f"),
        "differ in ConvolutionKernel",
    ),
    "two tube voltages": (lambda n, d: setattr(d, "KVP", 80 + 60 * (n % 2)), "differ in KVP"),
    "two times": (lambda n, d: setattr(d, "TemporalPositionIdentifier", 1 + n % 2), "TemporalPositionIdentifier"),
    "a gap": (lambda n, d: setattr(d, "ImagePositionPatient", [10, 20, 30 + 2 * n + 2 * (n > 2)]), "some are missing"),
    "one place twice": (lambda n, d: setattr(d, "ImagePositionPatient", [10, 20, 30 + 2 * max(n, 1)]), "one position"),
    "tilt": (lambda n, d: setattr(d, "ImagePositionPatient", [10, 20 + n, 30 + 2 * n]), "sheared"),
    "colour": (lambda _, d: setattr(d, "PhotometricInterpretation", "RGB"), "not a greyscale"),
    "too many pixels": (lambda _, d: setattr(d, "Rows", 2), "bytes of pixel data"),
    "a localizer": (lambda _, d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
    "spectral maps": (lambda _, d: setattr(d, "RescaleType", "Z_EFF"), "are not HU"),
    "two series": (lambda n, d: setattr(d, "SeriesInstanceUID", f"1.2.{n}"), "SeriesInstanceUID"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_contract_refuses_is_refused(tmp_path, case):
    """No second opinion: what `volume()` refuses this file refuses, too."""
    change, match = REFUSED[case]
    files = stack(tmp_path, change=lambda number, dataset: change(number, dataset) and None)
    with pytest.raises(NotApplicableError):
        imaging.volume(files)
    with pytest.raises(pacsnode_exchange.NotApplicable, match=match):
        pacsnode_exchange.read_volume(series_of(files))


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({(0x6000, 0x0100): ("US", 16), (0x6000, 0x0102): ("US", 3)}, "overlay within its pixels"),
        ({(0x0028, 0x0101): ("US", 12), (0x0028, 0x0102): ("US", 11), (0x0028, 0x0120): ("SS", -3000)}, "PaddingValue"),
        ({(0x0040, 0x9096): ("SQ", [pydicom.Dataset()])}, "mapping to real-world values"),
    ],
    ids=["overlay bits", "padding that does not fit", "real-world values"],
)
def test_what_only_the_contract_can_judge_is_refused(tmp_path, attributes, match):
    """This file is the stricter one where it cannot look closer."""

    def change(_number: int, dataset: pydicom.Dataset) -> None:
        for tag, (vr, value) in attributes.items():
            dataset.add_new(tag, vr, value)

    with pytest.raises(pacsnode_exchange.NotApplicable, match=match):
        pacsnode_exchange.read_volume(series_of(stack(tmp_path, change=change)))


def test_what_this_file_cannot_read_is_refused(tmp_path):
    """Compressed and multi-frame images, and files that are cut or something else."""
    files = stack(tmp_path, 1)
    (tmp_path / "multi").mkdir()
    cut, other = tmp_path / "cut.dcm", tmp_path / "other.dcm"
    cut.write_bytes(files[0].read_bytes()[:-5])
    other.write_text("a note")
    dataset = pydicom.dcmread(files[0])
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    for path, match in (
        (enhanced(tmp_path / "multi"), "functional groups|no usable"),
        (cut, "bytes of pixel data"),
        (other, "cannot be read as DICOM"),
        (tmp_path / "rle.dcm", "compressed"),
    ):
        with pytest.raises(pacsnode_exchange.NotApplicable, match=match):
            pacsnode_exchange.read_volume(pacsnode_exchange.ExchangedSeries("", "CT", "", "", [str(path)], [""]))


def _job_with_earlier_result(folder: Path, earlier: EarlierResult) -> pacsnode_exchange.ExchangedJob:
    """The folder of a job that is given an earlier result under the name `lungs`, as the node lays it out."""
    frames = tuple(InputFile(f"s01/{number}.dcm", f"1.2.{number}", 1) for number in (1, 2, 3))
    request = Request(
        job="1",
        plugin=PluginReference("later", "1", str(folder)),
        study=RequestFacts("1.2"),
        series=(InputSeries("1.2.0", "CT", frames),),
        results=(InputResult("lungs", "first", "lung-density", "1"),),
    )
    handed_on.write(folder / exchange.IN / "results" / "lungs", earlier)
    (folder / exchange.IN / "s01").mkdir()
    for frame in frames:
        (folder / exchange.IN / frame.name).touch()
    exchange.write_request(folder, request)
    return pacsnode_exchange.ExchangedJob(str(folder))


@pytest.mark.parametrize("separate", [False, True])
def test_an_earlier_mask_lies_on_the_frames_that_are_asked_for(tmp_path: Path, separate: bool) -> None:
    """The labels of the contract, for a label map and for planes of their own; a frame without a label is empty."""
    lung = Segment(2, "Lung", Code("1", "99TEST", "Category"), Code("39607008", "SCT", "Lung"))
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 1, 2] = labels[1, 2, 3] = 2
    frames = (ImageReference("1.2.3"), ImageReference("1.2.1"))
    given = Segmentation(tuple(labels) if separate else labels, frames, (lung,))
    finding = Finding(Code("39607008", "SCT", "Lung"), present=True, segments=(2,))
    job = _job_with_earlier_result(tmp_path / "job", EarlierResult((finding,), given))
    found, segments = job.mask("lungs", ["1.2.1", "1.2.2", ("1.2.3", 1)])
    wanted = given.labels_on([ImageReference(uid) for uid in ("1.2.1", "1.2.2", "1.2.3")])
    np.testing.assert_array_equal(found, wanted)
    assert (job.results, segments[2]["label"]) == (["lungs"], "Lung")
    assert job.findings("lungs")[0]["code"]["value"] == "39607008"
    with pytest.raises(ValueError, match="lies on none of these frames"):
        job.mask("lungs", ["1.2.9"])


def test_an_earlier_step_without_a_mask_is_not_applicable(tmp_path: Path) -> None:
    """A name that the rule does not give is a mistake of the program."""
    job = _job_with_earlier_result(tmp_path / "job", EarlierResult())
    with pytest.raises(pacsnode_exchange.NotApplicable, match="'lungs' has returned no segmentation"):
        job.mask("lungs", ["1.2.1"])
    with pytest.raises(ValueError, match="no earlier result the name 'lung'"):
        job.findings("lung")
