"""The body of a service's answer: what becomes files in `out/`, and what is refused with its reason."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from node.run.services import unpacking
from node.run.services.unpacking import UnpackingTask
from plugins.exchanges import ExchangeForm
from plugins.untrusted import ExchangeError
from tests.support.sites.ai_service import multipart, result, zipped

JSON, ZIP, DICOM = "application/json", "application/zip", "application/dicom"
PARTS = 'multipart/related; type="application/dicom"; boundary="cut"'


def unpacked(folder: Path, body: bytes, content_type: str, form: ExchangeForm = ExchangeForm.PACSNODE) -> bool:
    """Whether there is a result; at most 2 MiB may come of it."""
    (folder / "answer").write_bytes(body)
    (folder / "out").mkdir()
    return unpacking.unpack(UnpackingTask(folder, content_type, form, 2 * 2**20)).is_result


def files(folder: Path) -> list[str]:
    """What is in `out/`."""
    out = folder / "out"
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (multipart([(JSON, result()), (DICOM, b"one"), (DICOM, b"two\r\n--cu")]), PARTS),
        (b"preamble\r\n" + multipart([(JSON, result()), (DICOM, b"one"), (DICOM, b"two\r\n--cu")]), PARTS),
        (
            zipped({"out/result.json": result(), "out/dicom/000001.dcm": b"one", "dicom/000002.dcm": b"two\r\n--cu"}),
            ZIP,
        ),
    ],
)
def test_a_result_and_its_objects_are_files_as_a_program_leaves_them(
    tmp_path: Path, body: bytes, content_type: str
) -> None:
    """By parts or by an archive; bytes that begin like a boundary are none."""
    assert unpacked(tmp_path, body, content_type)
    assert files(tmp_path) == ["dicom/000001.dcm", "dicom/000002.dcm", "result.json"]
    assert (tmp_path / "out/result.json").read_bytes() == result()
    assert (tmp_path / "out/dicom/000002.dcm").read_bytes() == b"two\r\n--cu"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"one", DICOM), (multipart([(DICOM, b"one")]), PARTS), (zipped({"dicom/000001.dcm": b"one"}), ZIP)],
)
def test_dicom_objects_alone_are_a_result(tmp_path: Path, body: bytes, content_type: str) -> None:
    """The node writes one that names them."""
    assert unpacked(tmp_path, body, content_type)
    said = json.loads((tmp_path / "out/result.json").read_bytes())
    assert (said["status"], said["objects"]) == ("findings", [{"file": "dicom/000001.dcm"}])


def test_files_that_the_manifest_explains_need_no_result(tmp_path: Path) -> None:
    """Of `exchange = "nifti"`; where there is a result.json all the same, it counts."""
    assert not unpacked(tmp_path, zipped({"seg.nii.gz": b"x"}), ZIP, ExchangeForm.NIFTI)


def test_a_result_counts_also_from_a_service_of_nifti(tmp_path: Path) -> None:
    """So it can say that it failed, or why these images are not for it."""
    assert unpacked(tmp_path, result(status="failed", findings=[]), JSON, ExchangeForm.NIFTI)


def lying(size: int) -> bytes:
    """An archive whose member unpacks to more than it says."""
    data = bytearray(zipped({"result.json": bytes(size)}))
    for at in (data.find(b"PK\x03\x04") + 22, data.find(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", 10)
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"<html>", "text/html", "Content-Type"),
        (b"", "", "Content-Type"),
        (b"PK", ZIP, "is not an archive"),
        (b"", ZIP, "is not an archive"),
        (zipped({"result.json": result()})[:-9], ZIP, "is not an archive"),
        (zipped({"a.txt": b""}), ZIP, "has neither result.json nor DICOM objects alone"),
        (zipped({}), ZIP, "has neither"),
        (zipped({"../x": b""}), ZIP, "not a plain file name"),
        (zipped({"/etc/x": b""}), ZIP, "not a plain file name"),
        (zipped({"a": b"", "a/b": b""}), ZIP, "is a folder, too"),
        (zipped({"out/a": b"", "a": b""}), ZIP, "is there twice"),
        (zipped({"result.json": bytes(3 * 2**20)}), ZIP, "more than 2 MiB"),
        (zipped({f"{number}.dcm": bytes(2**20) for number in range(3)}), ZIP, "more than 2 MiB"),
        (zipped({f"{number}.dcm": b"" for number in range(2_001)}), ZIP, "more than 2000 files"),
        (lying(3 * 2**20), ZIP, "is not an archive"),
        (multipart([(JSON, result())])[:-9], PARTS, "ends in the midst of a part"),
        (multipart([("text/html", b"")]), PARTS, "neither JSON nor DICOM"),
        (multipart([(JSON, result())] * 2), PARTS, "is there twice"),
        (multipart([(DICOM, bytes(3 * 2**20))]), PARTS, "more than 2 MiB"),
        (multipart([(JSON, result())], "other"), PARTS, "does not have the boundary"),
        (multipart([(JSON, result())]), "multipart/related", "names no boundary"),
        (b"", PARTS, "is empty"),
        (b"--cut\r\nno head\r\n--cut--", PARTS, "has no head"),
    ],
)
def test_what_is_not_such_an_answer_is_refused(tmp_path: Path, body: bytes, content_type: str, reason: str) -> None:
    """With a reason, and nothing outside of `out/`."""
    with pytest.raises(ExchangeError, match=reason):
        unpacked(tmp_path, body, content_type)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["answer", "out"]
