"""What a result may hold: each offence is refused before it costs anything, with its place; what is honest passes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
from typing import Any

import numpy as np
import psutil
import pytest

from plugins import exchange, limits
from plugins.contract import (
    Code,
    Finding,
    Heatmap,
    ImageReference,
    Measurement,
    Picture,
    Polygon,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
    Unit,
)
from plugins.untrusted import ExchangeError
from tests.support.shared_data import ROOT

CODE = Code("1", "99TEST", "Thing")
IMAGE = ImageReference("1.2.1.1")
FRAMES = tuple(ImageReference(f"1.2.1.{n}") for n in (1, 2, 3))
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SIZE = (20, 30)


@pytest.fixture
def sized(job):
    """The job of this room with images of 20 × 30 pixels: (folder, request)."""
    folder, request = job
    series = tuple(
        dataclasses.replace(
            each, files=tuple(dataclasses.replace(f, rows=SIZE[0], columns=SIZE[1]) for f in each.files)
        )
        for each in request.series
    )
    return folder, dataclasses.replace(request, series=series)


def finding(**more: Any) -> dict[str, Any]:
    return {"code": {"value": "1", "scheme": "99TEST", "meaning": "Thing"}, "present": True, **more}


def document(**more: Any) -> dict[str, Any]:
    return {"schema": 1, "status": "findings", "summary": "x", "findings": [finding()], **more}


MEASUREMENT = {
    "concept": {"value": "1", "scheme": "99TEST", "meaning": "Thing"},
    "value": 1,
    "unit": {"code": "1", "meaning": "1"},
}
POLYGON = {"type": "Polygon", "points": [[1, 1], [2, 2], [3, 1]], "image": {"sop_instance_uid": "1.2.1.1"}}
KEY = {"image": {"sop_instance_uid": "1.2.1.1"}, "reason": "x"}
OFFENCES = {
    "10,000 findings": (document(findings=[finding()] * 10_000), r"\$.findings: 10000 items, at most 1000"),
    "measurements of a finding": (
        document(findings=[finding(), finding(measurements=[MEASUREMENT] * 501)]),
        r"\$.findings\[1\].measurements: 501 items",
    ),
    "measurements of all": (
        document(findings=[finding(measurements=[MEASUREMENT] * 500)] * 11),
        r"\$.findings\[10\].measurements\[0\]: more than 5000 measurements",
    ),
    "regions of all": (
        document(findings=[finding(regions=[POLYGON] * 1000)] * 5),
        r"\$.findings\[4\].regions\[0\]: more than 4000 regions",
    ),
    "10,000 points": (
        document(findings=[finding(regions=[POLYGON, {**POLYGON, "points": [[1, 1]] * 10_000}])]),
        r"\$.findings\[0\].regions\[1\].points: 10000 items, at most 5000",
    ),
    "points of all": (
        document(findings=[finding(regions=[{**POLYGON, "points": [[2, 2]] * 5000}] * 41)]),
        r"\$.findings\[0\].regions\[40\].points: more than 200000 points",
    ),
    "outside of its image": (
        document(findings=[finding(regions=[{**POLYGON, "points": [[31, 1], [2, 2], [3, 1]]}])]),
        r"\$.findings\[0\].regions\[0\].points: lies outside of its image, which has 20 × 30 pixels",
    ),
    "key images": (document(key_images=[KEY] * 101), r"\$.key_images: 101 items"),
    "notes": (document(quality=["x"] * 51), r"\$.quality: 51 items"),
    "giant text": (document(findings=[finding(comment="x" * 2**20)]), r"\$.findings\[0\].comment: 1048576 characters"),
    "giant texts": (
        document(findings=[finding(comment="x" * 1000)] * 101),
        r"\$.findings\[100\].comment: more than 100000 characters of comments",
    ),
    "giant code": (
        document(findings=[{**finding(), "code": {"value": "x" * 10**6, "scheme": "S", "meaning": "x"}}]),
        r"\$.findings\[0\].code.value: 1000000 characters",
    ),
}


@pytest.mark.parametrize("name", OFFENCES)
def test_finding_x2_too_much_is_refused_with_its_place(sized, name):
    """Numbers, lengths and totals: the error names the path of what is one too many."""
    folder, request = sized
    content, expected = OFFENCES[name]
    (folder / "out" / "result.json").write_text(json.dumps(content))
    with pytest.raises(ExchangeError, match=f"^out/result.json: {expected}"):
        exchange.read_result(folder, request)


def sparse(path, shape: tuple[int, ...], dtype: str) -> None:
    """An array file of the right length that takes no block of the disk for its data."""
    with path.open("wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)


SEGMENTS = [
    {"number": 1, "label": "x", "category": MEASUREMENT["concept"], "type": MEASUREMENT["concept"]},
]
ON_THREE = [{"sop_instance_uid": frame.sop_instance_uid} for frame in FRAMES]
MASK = {"labels": {"array": "a.npy"}, "frames": ON_THREE, "segments": SEGMENTS}
MAP = {"values": {"array": "a.npy"}, "frames": ON_THREE, "quantity": MEASUREMENT["concept"]}
ARRAYS = {
    "sparse 4 GiB mask": ({"segmentation": MASK}, (3, 2**15, 43690), "u1", "has 32768 × 43690 pixels a slice"),
    "sparse 4 GiB map": ({"heatmaps": [MAP]}, (3, 2**14, 21845), "f4", "has 16384 × 21845 pixels a slice"),
    "more slices than images": ({"segmentation": MASK}, (2**20, 20, 30), "u1", "3 references for 1048576 slices"),
    "one of several": (
        {"segmentation": {**MASK, "labels": [{"array": "a.npy"}] * 3}},
        (2**15, 2**16),
        "u1",
        "its images have 20 × 30",
    ),
    "huge picture": (
        {"pictures": [{"pixels": {"array": "a.npy"}, "caption": "x"}]},
        (30_000, 40_000, 3),
        "u1",
        "at most 4096 a",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_finding_x1_an_array_is_judged_by_its_header(sized, name):
    """An array larger than its images is refused before a byte of its data is read: this process stays as it was."""
    folder, request = sized
    more, shape, dtype, expected = ARRAYS[name]
    (folder / "out" / "result.json").write_text(json.dumps(document(**more)))  # type: ignore[arg-type]
    sparse(folder / "out" / "a.npy", shape, dtype)
    before = psutil.Process().memory_info().rss
    with pytest.raises(ExchangeError, match=expected):
        exchange.read_result(folder, request)
    assert psutil.Process().memory_info().rss - before < 2**25


def test_finding_x1_a_mask_with_holes_is_read_as_what_it_is(sized):
    """A program that writes its mask through a map leaves holes where nothing is labelled: honest, and harmless."""
    folder, request = sized
    (folder / "out" / "result.json").write_text(json.dumps(document(segmentation=MASK)))
    sparse(folder / "out" / "a.npy", (3, *SIZE), "u1")
    segmentation = exchange.read_result(folder, request).segmentation
    assert segmentation.labels.shape == (3, *SIZE)
    assert not segmentation.labels.any()


def test_finding_x1_a_header_of_gigabytes_is_not_read(sized):
    """The length of a .npy header is looked at before numpy reads so many bytes."""
    folder, request = sized
    (folder / "out" / "result.json").write_text(json.dumps(document(segmentation=MASK)))
    with (folder / "out" / "a.npy").open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little"))
        file.truncate(2**32)
    with pytest.raises(ExchangeError, match="has a header of 4294967295 bytes"):
        exchange.read_result(folder, request)


HOSTILE = {
    "pipe": os.mkfifo,
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "hard link": lambda path: os.link(path.parent.parent / "request.json", path),
}
HARMLESS = {
    "file": lambda path: path.write_bytes(b"x"),
    "array": lambda path: np.save(path.with_suffix(".npy"), np.zeros(3)),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "folder": lambda path: (path / "matplotlib").mkdir(parents=True),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_finding_x1_what_no_honest_plugin_leaves_in_out_is_refused(sized, kind):
    """By name, though the result does not mention it."""
    folder, request = sized
    (folder / "out" / "result.json").write_text(json.dumps(document()))
    HOSTILE[kind](folder / "out" / "stray")
    with pytest.raises(ExchangeError, match=r"^out/stray: "):
        exchange.read_result(folder, request)


@pytest.mark.parametrize("kind", HARMLESS)
def test_finding_x1_what_the_result_does_not_name_costs_nothing(sized, kind):
    """Caches, pictures and links that an honest plugin leaves in out/ are not opened, and named as ignored."""
    folder, request = sized
    (folder / "out" / "result.json").write_text(json.dumps(document()))
    (folder / "out" / "worker.log").write_text("the worker's own")
    (folder / "out" / "error.txt").write_text("the worker's own")
    HARMLESS[kind](folder / "out" / "stray")
    reading = exchange.read(folder, request)
    assert [name.removesuffix(".npy") for name in reading.ignored] == ["stray"]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", ""),
        (b"ValueError, author.py line 6\nand more\n", "ValueError, author.py line 6"),
        (b"\x1b[31mred\x07 \xff\n", "[31mred  \ufffd"),
        ("폐 결절\n".encode(), "폐 결절"),
        (b"x" * 10_000_000, "x" * 300),
    ],
)
def test_finding_o2_where_a_plugin_failed_is_one_short_line_whatever_it_wrote(sized, content, shown):
    """The admin reads it in a terminal: no control character, no second line, no megabytes."""
    folder, request = sized
    (folder / "out" / "result.json").write_text(json.dumps(document()))
    (folder / "out" / "error.txt").write_bytes(content)
    assert exchange.read(folder, request).error.strip() == shown


def test_finding_o2_a_link_in_place_of_that_line_is_not_read(sized):
    """It could lead to any file of the machine; the result is taken without it."""
    folder, request = sized
    (folder / "out" / "result.json").write_text(json.dumps(document()))
    (folder / "out" / "error.txt").symlink_to("/etc/passwd")
    assert exchange.read(folder, request).error == ""


def test_finding_x1_many_files_cost_nothing_and_are_not_all_looked_at(sized, monkeypatch):
    """out/ is not searched for ever."""
    folder, request = sized
    monkeypatch.setattr(limits, "FILES", 5)
    (folder / "out" / "result.json").write_text(json.dumps(document()))
    for number in range(50):
        (folder / "out" / f"{number}").touch()
    assert 4 <= len(exchange.read(folder, request).ignored) <= 5


def test_finding_x1_a_link_or_a_folder_in_place_of_a_file_is_said_in_words(sized):
    """No error number, no descriptor."""
    folder, request = sized
    (folder / "out" / "result.json").symlink_to("/etc/passwd")
    with pytest.raises(ExchangeError, match=r"^out/result.json: cannot be read: it is a link$"):
        exchange.read_result(folder, request)
    (folder / "out" / "result.json").unlink()
    (folder / "out" / "result.json").mkdir()
    with pytest.raises(ExchangeError, match=r"^out/result.json: cannot be read: it is not a regular file$"):
        exchange.read_result(folder, request)


def test_finding_x2_what_is_honest_meets_no_limit(sized):
    """200 nodules with five numbers and three outlines each, a mask, a map and pictures: read back as written."""
    folder, request = sized
    angles = np.linspace(0, 2 * np.pi, 300)
    outline = np.stack([15 + 10 * np.cos(angles), 10 + 9 * np.sin(angles)], axis=1)
    nodule = Finding(
        CODE,
        present=True,
        measurements=(Measurement(CODE, 1.0, Unit("mm", "mm")),) * 5,
        regions=tuple(Polygon(outline, frame) for frame in FRAMES),
    )
    result = Result(
        ResultStatus.FINDINGS,
        "200 nodules",
        (nodule,) * 200,
        Segmentation(np.ones((3, *SIZE), np.uint8), FRAMES, (Segment(1, "x", CODE, CODE),)),
        (Heatmap(np.asfortranarray(np.random.default_rng(1).random((3, *SIZE), np.float32)), FRAMES, CODE),),
        pictures=(Picture(np.zeros((1024, 1024, 3), np.uint8), "x"),) * 20,
    )
    exchange.write_result(folder, result)
    read = exchange.read_result(folder, request)
    assert len(read.findings) == 200
    assert np.array_equal(read.heatmaps[0].values, result.heatmaps[0].values)


def test_finding_x2_the_page_has_every_limit():
    """docs/plugins.md tells authors each limit, with the number of the code."""
    table = PAGE.split("## What a result may hold")[1].split("\n## ")[0]
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", table)}
    named = {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int)}
    shown = named | {
        "JSON_BYTES": limits.JSON_BYTES // 2**20,
        "DOCUMENT_BYTES": limits.DOCUMENT_BYTES // 2**20,
        "ARRAY_BYTES": limits.ARRAY_BYTES // 2**30,
        "OBJECT_BYTES": limits.OBJECT_BYTES // 2**30,
        "OBJECTS_BYTES": limits.OBJECTS_BYTES // 2**30,
        "PICTURE_PIXELS": limits.PICTURE_PIXELS // 2**20,
    }
    assert {name: value for name, value in shown.items() if value not in numbers} == {}
