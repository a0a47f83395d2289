"""The folder contract: what is written is read back the same, and nothing hostile gets through."""

from __future__ import annotations

import dataclasses
import json
import os
import struct

import numpy as np
import pytest

from plugins import exchange, limits
from plugins.contract import (
    Box,
    Code,
    Ellipse,
    Finding,
    Heatmap,
    ImageReference,
    KeyImage,
    Measurement,
    NoValue,
    Picture,
    Point,
    Polygon,
    Polyline,
    ReferenceRange,
    Result,
    ResultStatus,
    Score,
    Segment,
    Segmentation,
    Site,
    Unit,
)
from plugins.exchange import read_request, read_result, write_request, write_result
from plugins.untrusted import ExchangeError

MM = Unit("mm", "millimeter")
LUNG = Code("39607008", "SCT", "Lung")
IMAGE = ImageReference("1.2.1.1")
FRAMES = tuple(ImageReference(f"1.2.1.{n}") for n in (1, 2, 3))


def full_result() -> Result:
    """A result with one of everything."""
    square = np.array([[1.5, 2], [3, 2], [3, 4.25], [1.5, 4]])
    return Result(
        status=ResultStatus.FINDINGS,
        summary="결절 1개 – 4.2 mm\nsecond line",
        findings=(
            Finding(
                code=Code("27925004", "SCT", "Nodule"),
                present=True,
                score=Score(0.93, 0.5, concept=Code("111012", "DCM", "Certainty of Finding")),
                site=Site(LUNG, Code("7771000", "SCT", "Left")),
                measurements=(
                    Measurement(
                        LUNG, 4.2, MM, derivation=LUNG, reference_range=ReferenceRange(None, 6.0, "a paper"), decimals=1
                    ),
                    Measurement(LUNG, None, MM, NoValue.NOT_ATTEMPTED),
                ),
                regions=(
                    Polygon(square, IMAGE),
                    Box(square[[0, 2]], IMAGE),
                    Ellipse(np.array([[1.0, 3], [5, 3], [3, 2], [3, 4]]), IMAGE),
                    Polyline(square, IMAGE),
                    Point(np.array([1.0, -2.0, 3.0]), frame_of_reference_uid="1.9.1"),
                ),
                segments=(7,),
                tracking_id="Nodule 1",
                urgent=True,
                comment="spiculated",
            ),
        ),
        segmentation=Segmentation(
            np.arange(24, dtype=np.uint32).reshape(3, 2, 4) % 2 * 7,
            FRAMES,
            (Segment(7, "Nodule", LUNG, LUNG, colour=(1, 2, 255)),),
        ),
        heatmaps=(Heatmap(np.linspace(0, 1, 24).reshape(3, 2, 4), FRAMES, LUNG),),  # type: ignore[arg-type]
        key_images=(KeyImage(IMAGE, "the nodule", (-600.0, 1500.0)),),
        pictures=(Picture(np.full((4, 5, 3), 9, np.uint8), "a picture", (IMAGE,)),),
        quality=("thick slices",),
    )


def equal(one, other) -> bool:
    """Deep equality that knows arrays."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(other) and all(equal(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_request_round_trip(job):
    """What the node asks is what the plugin's process reads: series, roles, facts, parameters with their types."""
    folder, request = job
    assert read_request(folder) == request
    study = read_request(folder).open(folder)
    assert [series.role for series in study.series] == ["current", "prior"]
    assert study.by_role("prior").files[2] == folder / "in/2/3.dcm"
    assert study.patient_age == 61.5
    assert study.scratch is not None
    assert study.scratch.is_dir()


@pytest.mark.parametrize("name", ["../x.dcm", "/etc/passwd", "a/b/c.dcm", ".hidden", "a\nb", "", "in/../../x"])
def test_request_with_a_name_that_leaves_in_is_refused(job, name):
    """File names of a request stay below in/ when it is written and when it is read."""
    folder, request = job
    bad = dataclasses.replace(
        request, series=(dataclasses.replace(request.series[0], files=(exchange.InputFile(name, "1.2.1.1"),)),)
    )
    with pytest.raises(ExchangeError, match=r"series\[0\].files\[0\].name"):
        write_request(folder, bad)
    document = json.loads((folder / "request.json").read_text())
    document["series"][0]["files"][0]["name"] = name
    (folder / "request.json").write_text(json.dumps(document))
    with pytest.raises(ExchangeError, match=r"request.json: \$.series\[0\].files\[0\].name"):
        read_request(folder)


def test_request_for_a_missing_file_is_refused(job):
    """A request never names an instance that is not there."""
    folder, request = job
    (folder / "in/2/3.dcm").unlink()
    with pytest.raises(ExchangeError, match=r"in/2/3\.dcm is not there"):
        write_request(folder, request)


def test_result_round_trip(job):
    """One of everything, Korean text included, comes back as it was."""
    folder, request = job
    write_result(folder, full_result())
    assert equal(read_result(folder, request), full_result())
    assert not list((folder / "out").glob("*.part"))
    labels = np.load(folder / "out" / "labels-1.npy")
    assert labels.dtype == np.uint8


def test_labels_of_images_that_differ_in_size_round_trip(job):
    """An array for each image, of several series, with the dtype that holds the labels; the schema knows them."""
    folder, request = job
    planes = (np.zeros((2, 4), np.uint8), np.full((3, 5), 300, np.uint32))
    frames = (ImageReference("1.2.1.1"), ImageReference("1.2.2.1"))
    segmentation = Segmentation(planes, frames, (Segment(300, "Nodule", LUNG, LUNG),))
    finding = Finding(LUNG, present=True, segments=(300,))
    write_result(folder, Result(ResultStatus.FINDINGS, "seen on two views", (finding,), segmentation))
    read = read_result(folder, request).segmentation
    assert [(plane.dtype, plane.shape) for plane in read.planes] == [(np.uint8, (2, 4)), (np.uint16, (3, 5))]
    assert all(np.array_equal(*both) for both in zip(planes, read.planes, strict=True))  # type: ignore[arg-type]
    assert read.frames == frames
    labels = exchange.result_schema()["$defs"]["Segmentation"]["properties"]["labels"]
    assert [choice["type"] for choice in labels["anyOf"]] == ["object", "array"]


@pytest.mark.parametrize("status", ["not_applicable", "failed"])
def test_result_without_findings_round_trip(job, status):
    """A reason alone is a result."""
    folder, request = job
    write_result(folder, Result(ResultStatus(status), "no lungs"))
    assert read_result(folder, request) == Result(ResultStatus(status), "no lungs")


def edited(job, change) -> None:
    """Write the full result, change its JSON, read it."""
    folder, request = job
    write_result(folder, full_result())
    path = folder / "out" / "result.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    read_result(folder, request)


def at(path, value):
    """A change that sets one place of the document."""

    def change(document):
        *parents, last = path
        for key in parents:
            document = document[key]
        document[last] = value

    return change


F0 = ("findings", 0)
CHANGES = {
    "schema 2": (at(("schema",), 2), r"\$.schema: expected 1"),
    "schema true": (at(("schema",), True), r"\$.schema"),
    "unknown key": (at(("sumary",), "x"), r"\$: unknown key 'sumary', did you mean 'summary'\?"),
    "patient": (at(("patient_name",), "Hong^Gildong"), r"\$: unknown key 'patient_name'"),
    "study": (at(("study_instance_uid",), "1.2.3"), r"\$: unknown key"),
    "status": (at(("status",), "fine"), r"\$.status: 'fine' is none of findings, no_findings"),
    "summary number": (at(("summary",), 3), r"\$.summary: expected a text, got a number"),
    "summary too long": (at(("summary",), "x" * 2000), r"\$: Result.summary: 2000 characters"),
    "summary huge": (at(("summary",), "x" * 20000), r"\$.summary: 20000 characters, at most"),
    "control character": (at(("summary",), "a\x00b"), r"\$.summary: holds the character U\+0000"),
    "escape sequence": (at((*F0, "comment"), "\x1b[31m"), r"comment: holds the character U\+001B"),
    "lone surrogate": (at((*F0, "comment"), "\ud800"), r"comment: holds the character U\+D800"),
    "findings not a list": (at(("findings",), {}), r"\$.findings: expected a list, got an object"),
    "too many": (at(("quality",), ["x"] * 30000), r"\$.quality: 30000 items, at most"),
    "present text": (at((*F0, "present"), "yes"), r"findings\[0\].present: expected true or false"),
    "missing code": (at((*F0, "code"), {"value": "1", "scheme": "SCT"}), r"findings\[0\].code: 'meaning' is missing"),
    "unit": (at((*F0, "measurements", 0, "unit", "code"), ""), r"measurements\[0\].unit: Unit.code: must be given"),
    "huge number": (at((*F0, "measurements", 0, "value"), 10**400), r"value: is not a finite number"),
    "value and reason": (at((*F0, "measurements", 1, "value"), 1), r"measurements\[1\]: Measurement 'Lung': give a"),
    "decimals float": (at((*F0, "measurements", 0, "decimals"), 1.5), r"decimals: expected a whole number"),
    "region type": (at((*F0, "regions", 0, "type"), "Blob"), r"regions\[0\].type: 'Blob' is none of Point, Polyline"),
    "ragged points": (at((*F0, "regions", 0, "points"), [[1, 2], [3]]), r"points: expected points of 2 or of 3"),
    "too many points": (at((*F0, "regions", 0, "points"), [[1, 2]] * 100001), r"points: 100001 items"),
    "segment not there": (at((*F0, "segments"), [8]), r"\$: Finding 'Nodule'.segments: \[8\]"),
    "fault 73 another image": (
        at((*F0, "regions", 0, "image", "sop_instance_uid"), "1.2.840.1"),
        r"regions\[0\].image.sop_instance_uid: is not an instance that the plugin was given",
    ),
    "fault 73 another key image": (at(("key_images", 0, "image", "sop_instance_uid"), "9"), r"key_images\[0\].image"),
    "fault 73 another picture source": (at(("pictures", 0, "sources", 0, "sop_instance_uid"), "9"), "not an instance"),
    "fault 73 another frame": (at(("key_images", 0, "image", "frame_number"), 2), "2, but the instance has 1 frames"),
    "fault 73 another frame of reference": (at((*F0, "regions", 4, "frame_of_reference_uid"), "1.9.9"), "not a frame"),
    "mixed series": (at(("heatmaps", 0, "frames", 0, "sop_instance_uid"), "1.2.2.1"), r"frames: mixes frames of"),
    "frame twice": (at(("segmentation", "frames", 0, "sop_instance_uid"), "1.2.1.2"), r"frames: names a frame twice"),
    "array outside": (at(("pictures", 0, "pixels", "array"), "../in/1/1.npy"), r"pixels.array: '../in/1/1.npy' is no"),
    "array absolute": (at(("pictures", 0, "pixels", "array"), "/etc/passwd"), "is not a plain name"),
    "array missing": (at(("pictures", 0, "pixels", "array"), "gone.npy"), r"out/gone.npy cannot be read"),
    "array extra": (at(("pictures", 0, "pixels"), {"array": "a.npy", "mode": "w"}), r'expected {"array"'),
    "array of another kind": (at(("pictures", 0, "pixels", "array"), "values-2.npy"), "has the type float32"),
    "labels of which one is no array": (
        at(("segmentation", "labels"), [3, {"array": "labels-1.npy"}]),
        r"labels\[0\]: expected an object",
    ),
    "labels for no frame": (at(("segmentation", "labels"), []), "3 references for 0 slices"),
    "labels of more dimensions": (
        at(("segmentation", "labels"), [{"array": "labels-1.npy"}] * 3),
        r"expected \(rows, columns\), got shape",
    ),
    "array inline": (at(("pictures", 0, "pixels"), [[1]]), r"pixels: expected an object"),
    "colour": (at(("segmentation", "segments", 0, "colour"), [0, 0, 300]), "Segment.colour"),
    "window": (at(("key_images", 0, "window"), [0, 0]), "KeyImage.window"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_result_is_refused_with_file_and_place(job, name):
    """Every way of being wrong is refused, and the error says in which file and where (faults 71, 73)."""
    change, expected = CHANGES[name]
    with pytest.raises(ExchangeError, match=expected) as caught:
        edited(job, change)
    assert str(caught.value).startswith("out/result.json: $")


BAD_JSON = {
    "empty": b"",
    "not utf-8": b'{"schema": 1, "summary": "\xff"}',
    "half": b'{"schema": 1, "status": "fin',
    "a list": b"[1]",
    "nan": b'{"schema": 1, "status": "failed", "summary": "x", "quality": [NaN]}',
    "key twice": b'{"schema": 1, "status": "failed", "status": "findings", "summary": "x"}',
    "deep": b'{"schema":' + b"[" * 100_000,
    "long number": b'{"schema": ' + b"9" * 10_000 + b"}",
    "large": b" " * (limits.JSON_BYTES + 1),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_malformed_json_is_refused(job, name):
    """Bytes that are no JSON object of this schema are refused without a crash and without reading on and on."""
    folder, request = job
    (folder / "out" / "result.json").write_bytes(BAD_JSON[name])
    with pytest.raises(ExchangeError, match=r"^out/result.json"):
        read_result(folder, request)


def test_missing_result_is_refused(job):
    """A plugin that wrote nothing has no result."""
    folder, request = job
    with pytest.raises(ExchangeError, match=r"out/result.json: is missing"):
        read_result(folder, request)


def place_array(job, make) -> None:
    """Put something else where the picture's array is, and read."""
    folder, request = job
    write_result(folder, full_result())
    path = folder / "out" / "pixels-3.npy"
    assert path.is_file()
    path.unlink()
    make(path)
    read_result(folder, request)


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1, 3)}"
HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 3)}"
SHORT = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 5, 3)}"
NEGATIVE = "{'descr': '|u1', 'fortran_order': False, 'shape': (-4, 5, 3)}"
ARRAYS = {
    "symbolic link": lambda path: path.symlink_to("/etc/passwd"),
    "hard link": lambda path: os.link(path.parent.parent / "request.json", path),
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "pickle": lambda path: path.write_bytes(npy(OBJECTS, b"cos\nsystem\n")),
    "huge": lambda path: path.write_bytes(npy(HUGE)),
    "short": lambda path: path.write_bytes(npy(SHORT, b"\0" * 59)),
    "long": lambda path: path.write_bytes(npy(SHORT, b"\0" * 61)),
    "negative": lambda path: path.write_bytes(npy(NEGATIVE, b"\0" * 60)),
    "code in the header": lambda path: path.write_bytes(npy("__import__('os').system('true')")),
    "open string in the header": lambda path: path.write_bytes(npy("'''")),
    "deep header": lambda path: path.write_bytes(npy("(" * 9000)),
    "version 9": lambda path: path.write_bytes(npy(SHORT, b"\0" * 60, b"\x09\x00")),
    "not numpy": lambda path: path.write_bytes(b"GIF89a"),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.filterwarnings("ignore:Reading .npy:UserWarning")
def test_hostile_array_is_refused(job, kind):
    """An array file that is a link, a pipe, a pickle, too large or a lie about its size is never loaded."""
    with pytest.raises(ExchangeError, match=r"^out/result.json: \$.pictures\[0\].pixels"):
        place_array(job, ARRAYS[kind])


def test_result_that_is_a_link_is_refused(job, tmp_path):
    """result.json itself, and out/ itself, are followed nowhere (fault 74)."""
    folder, request = job
    write_result(folder, full_result())
    (folder / "out").rename(tmp_path / "elsewhere")
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExchangeError, match=r"^out/"):
        read_result(folder, request)
    (folder / "out").unlink()
    (folder / "out").mkdir()
    (folder / "out" / "result.json").symlink_to(tmp_path / "elsewhere" / "result.json")
    with pytest.raises(ExchangeError, match=r"^out/result.json: cannot be read"):
        read_result(folder, request)


def test_arrays_share_one_budget(job, monkeypatch):
    """Many arrays that are each small enough do not add up to more than a result may have."""
    folder, request = job
    write_result(folder, full_result())
    monkeypatch.setattr(limits, "ARRAY_BYTES", 24 + 96 + 59)  # labels and heat map fit, the picture does not
    with pytest.raises(ExchangeError, match=r"pictures\[0\].pixels.array: the arrays of the result have more than"):
        read_result(folder, request)


def test_fortran_order_is_read_right(job):
    """A program that writes columns first is understood."""
    folder, request = job
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    write_result(folder, full_result())
    np.save(folder / "out" / "pixels-3.npy", np.asfortranarray(pixels))
    assert np.array_equal(read_result(folder, request).pictures[0].pixels, pixels)


def test_schema_names_every_field():
    """The JSON Schema is made of the same types as the reader: each class and field of a result is in it."""
    schema = exchange.result_schema()
    assert schema["required"] == ["schema", "status", "summary"]
    assert set(schema["properties"]) == {"schema"} | {field.name for field in dataclasses.fields(Result)}
    assert set(schema["$defs"]) >= {"Finding", "Measurement", "Polygon", "Segmentation", "ImageReference", "Code"}
    assert schema["$defs"]["Polygon"]["properties"]["type"] == {"const": "Polygon"}
    assert "sop_instance_uid" in exchange.request_schema()["$defs"]["InputFile"]["required"]
    json.dumps(schema)
