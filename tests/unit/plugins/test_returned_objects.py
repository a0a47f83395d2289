"""DICOM files that a result names: they come through as they are, and nothing but files of `out/` does."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.run import found
from plugins import exchange, limits
from plugins.contract import Code, ContractError, Finding, Result, ResultStatus, ReturnedObject
from plugins.exchange import read, read_result, write_result
from plugins.object_files import open_object
from plugins.untrusted import ExchangeError

Job = tuple[Path, exchange.Request]
CONTENT = b"\0" * 128 + b"DICM" + b"whatever is behind"


def result_of(*files: Any) -> Result:
    return Result(ResultStatus.FINDINGS, "Made.", objects=files)


def named(job: Job, *names: str) -> Result:
    """What is read of a result.json that names these."""
    folder, request = job
    objects = [{"file": name} for name in names]
    document = {"schema": 1, "status": "findings", "summary": "Made.", "objects": objects}
    (folder / "out" / "result.json").write_text(json.dumps(document))
    return read_result(folder, request)


def put(job: Job, name: str) -> Path:
    path = job[0] / "out" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    return path


def test_files_of_an_author_come_through(job: Job) -> None:
    """An author names files of his own; the node gets copies of them in out/, in their order."""
    folder, request = job
    ours = [folder / "scratch" / name for name in ("b.dcm", "a")]
    for path in ours:
        path.write_bytes(CONTENT + path.name.encode())
    write_result(folder, result_of(ReturnedObject(ours[0]), str(ours[1])))
    reading = read(folder, request)
    assert [each.file.read_bytes() for each in reading.result.objects] == [CONTENT + b"b.dcm", CONTENT + b"a"]
    assert all(each.file.is_relative_to(folder / "out") for each in reading.result.objects)
    assert reading.ignored == ()
    document = json.loads((folder / "out" / "result.json").read_text())
    assert document["objects"] == [{"file": "dicom/000001.dcm"}, {"file": "dicom/000002.dcm"}]


def test_a_file_that_lies_in_out_is_not_copied(job: Job) -> None:
    """What is in out/ already is named where it lies."""
    folder, request = job
    path = put(job, "a/b/object")
    write_result(folder, result_of(path))
    assert [each.file for each in read_result(folder, request).objects] == [path]
    assert {entry.name for entry in (folder / "out").iterdir()} == {"a", "result.json"}


def test_a_file_that_is_not_there_is_the_authors_mistake(job: Job) -> None:
    """The message names the file, and no result is written."""
    with pytest.raises(ContractError, match=r"ReturnedObject.file: .*gone.dcm cannot be read: No such file"):
        write_result(job[0], result_of(job[0] / "scratch" / "gone.dcm"))
    assert not (job[0] / "out" / "result.json").exists()


@pytest.mark.parametrize("wrong", [3, b"x.dcm", None, {"file": "x"}])
def test_what_is_no_path_is_refused(wrong: Any) -> None:
    """A data set that was not saved, a number: the author reads what to give instead."""
    with pytest.raises(ContractError, match=re.escape("Result.objects[0]")):
        result_of(wrong)


@pytest.mark.parametrize("status", ["no_findings", "not_applicable"])
def test_other_statuses_may_have_objects(status: str) -> None:
    """A vendor's page may say that nothing was found, or why nothing could be analysed; a failure has no objects."""
    absent = (Finding(Code("1", "99TEST", "Thing"), present=False),) if status == "no_findings" else ()
    assert Result(ResultStatus(status), "x", absent, objects=(ReturnedObject(Path("a")),)).objects
    with pytest.raises(ContractError, match=r"Result.objects: must be empty when the status is 'failed'"):
        Result(ResultStatus.FAILED, "x", objects=(ReturnedObject(Path("a")),))


@pytest.mark.parametrize(
    "name",
    [
        "../in/1/1.dcm",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a//b",
        "a/./b",
        "a/../../request.json",
        "a/",
        "/".join("abcdefghij"),
    ],
)
def test_a_name_that_is_no_path_in_out_is_refused(job: Job, name: str) -> None:
    """No name leaves out/, and none is deeper than it need be."""
    with pytest.raises(ExchangeError, match=r"^out/result.json: \$.objects\[0\].file: "):
        named(job, name)


def _links_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to(path.parents[2] / "in" / "1")


PLACED: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: None,
    "symbolic link": lambda path: path.symlink_to(path.parents[2] / "in" / "1" / "1.dcm"),
    "hard link": lambda path: os.link(path.parents[2] / "request.json", path),
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "folder that is a link": _links_folder,
}


@pytest.mark.parametrize("kind", PLACED)
def test_what_is_not_a_file_of_its_own_is_refused(job: Job, kind: str) -> None:
    """Links, pipes and folders in the place of a file are never opened as one."""
    path = job[0] / "out" / "dicom" / "1.dcm"
    path.parent.mkdir()
    PLACED[kind](path)
    with pytest.raises(ExchangeError, match=r"^out/result.json: \$.objects\[0\].file: 'dicom/1.dcm' cannot be read"):
        named(job, "dicom/1.dcm")


def test_a_file_named_twice_is_refused(job: Job) -> None:
    """One file is one object."""
    put(job, "dicom/1.dcm")
    with pytest.raises(ExchangeError, match=r"\$.objects\[1\].file: 'dicom/1.dcm' is named twice"):
        named(job, "dicom/1.dcm", "dicom/1.dcm")


def test_objects_have_budgets(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many, too large, or too large together: said before any is read."""
    names = [f"dicom/{n}.dcm" for n in range(3)]
    for name in names:
        put(job, name)
    with pytest.raises(ExchangeError, match=r"\$.objects: 1001 items, at most 1000"):
        named(job, *(f"{n}" for n in range(1001)))
    monkeypatch.setattr(limits, "OBJECTS_BYTES", 3 * len(CONTENT) - 1)
    with pytest.raises(ExchangeError, match=r"\$.objects\[2\].file: the objects have more than"):
        named(job, *names)
    monkeypatch.setattr(limits, "OBJECT_BYTES", len(CONTENT) - 1)
    with pytest.raises(ExchangeError, match=r"\$.objects\[0\].file: has \d+ bytes, at most"):
        named(job, *names)


def test_a_file_that_becomes_a_link_is_not_opened(job: Job) -> None:
    """What was found may be something else by the time it is opened: then it is not."""
    path = put(job, "dicom/1.dcm")
    (returned,) = named(job, "dicom/1.dcm").objects
    with open_object(job[0] / "out", returned.file) as file:
        assert file.read() == CONTENT
    path.unlink()
    path.symlink_to(job[0] / "in" / "1" / "1.dcm")
    with pytest.raises(OSError), open_object(job[0] / "out", returned.file):  # noqa: PT011 - ELOOP, by the kernel
        pass


def test_what_is_found_says_how_many_came(job: Job) -> None:
    """What later steps may ask of a result has the number of its objects, and no name of a file."""
    put(job, "dicom/1.dcm")
    said = found.of(named(job, "dicom/1.dcm"))
    assert {name: said[name] for name in ("findings", "objects")} == {"findings": [], "objects": 1}
    assert "dicom" not in str(said)
