"""`echo` and `send`, over real associations with a small PACS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from node.dimse.demo_pacs import DemoPACS
from tests.support.dimse.committing_pacs import CommittingPACS
from tests.support.ports import free_port
from tests.support.sites.calls import Run
from tests.support.sites.scripted_dicomweb import DicomWebServer, saying, serving


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[DemoPACS]:
    """A PACS of the test's own."""
    with DemoPACS(tmp_path / "pacs", "PACS") as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, pacs: DemoPACS) -> Path:
    """A configuration that names it."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"node: {{time_zone: UTC}}\ndestinations:\n  pacs: {{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}\n"
    )
    return path


def image(folder: Path, name: str) -> Path:
    """A CT image."""
    source = get_testdata_file("CT_small.dcm")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(Path(str(source)).read_bytes())
    return folder / name


def test_a_box_answers_by_its_name(run: Run, site: Path, pacs: DemoPACS) -> None:
    """And `check --json` lists it."""
    box = f"cad: {{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}, answering: [CAD], charged: true}}"
    site.write_text(f"{site.read_text()}boxes:\n  {box}\n")
    answer = run("echo", "cad", "--json")
    assert (answer.code, answer.json["answers"]) == (0, True)
    told = run("check", "--json").json["boxes"]["cad"]
    assert (told["port"], told["answers"], told["charged"]) == (pacs.port, "here", True)
    unknown = run("echo", "kad")
    assert unknown.code == 2
    assert "pacs, cad" in unknown.err


@pytest.mark.usefixtures("site")
def test_a_destination_answers(run: Run) -> None:
    """By its name, exit code 0."""
    answer = run("echo", "pacs")
    assert (answer.code, answer.err) == (0, "")
    assert "answers" in answer.out


def test_a_peer_answers_without_any_configuration(run: Run, pacs: DemoPACS) -> None:
    """`AET@host:port`."""
    assert run("echo", f"PACS@127.0.0.1:{pacs.port}", "--json").json["answers"] is True


@pytest.mark.usefixtures("site")
def test_a_probe_tells_which_results_are_accepted(run: Run) -> None:
    """Each SOP class that a result can have, with its transfer syntaxes."""
    accepted = run("echo", "pacs", "--probe", "--json").json["accepts"]
    assert "1.2.840.10008.1.2.1" in accepted["1.2.840.10008.5.1.4.1.1.88.33"]
    assert "Comprehensive SR" in run("echo", "pacs", "--probe").out


def test_a_probe_tells_whether_storage_commitment_is_accepted(run: Run, pacs: DemoPACS, tmp_path: Path) -> None:
    """Where it is required and refused, that is exit code 1."""
    with CommittingPACS() as archive:
        assert run("echo", f"PACS@127.0.0.1:{archive.port}", "--probe", "--json").json["accepts_storage_commitment"]
    required = f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}, commitment: require}}"
    (tmp_path / "config.yaml").write_text(f"node: {{time_zone: UTC}}\ndestinations: {{pacs: {required}}}\n")
    answer = run("echo", "pacs", "--probe")
    assert answer.code == 1
    assert "! It does not accept requests for storage commitment, and commitment: require is configured" in answer.out


def test_nobody_there_is_exit_code_1(run: Run) -> None:
    """In words, on standard error."""
    answer = run("echo", f"PACS@127.0.0.1:{free_port()}")
    assert (answer.code, answer.out) == (1, "")
    assert "no connection" in answer.err


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pasc", 'did you mean "pacs"?'),
        ("A_TITLE_THAT_IS_TOO_LONG@127.0.0.1:104", "is not an AE title"),
        ("PACS@127.0.0.1:99999", "99999 is not a port"),
    ],
)
def test_a_destination_that_makes_no_sense_is_exit_code_2(run: Run, name: str, message: str) -> None:
    """Nothing is called."""
    answer = run("echo", name)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.usefixtures("site")
def test_files_and_folders_are_sent_and_the_rest_is_named(run: Run, tmp_path: Path) -> None:
    """Folders to their end, each file once; what is no DICOM file is skipped."""
    folder = tmp_path / "study"
    image(folder, "a.dcm")
    image(folder / "deep" / "er", "b.dcm")
    (folder / "notes.txt").write_text("no image")
    answer = run("send", folder, folder / "a.dcm", "pacs", "--json")
    assert answer.code == 0
    assert answer.json["stored"] == 2
    assert answer.json["failed"] == []
    assert [Path(each["file"]).name for each in answer.json["skipped"]] == ["notes.txt"]
    told = run("send", folder, "pacs")
    assert "2 of 2 objects stored" in told.out
    assert "skipped" in told.err
    assert "notes.txt" in told.err


@pytest.mark.usefixtures("site")
def test_nothing_to_send_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    """A folder without DICOM files."""
    (tmp_path / "empty").mkdir()
    answer = run("send", tmp_path / "empty", "pacs")
    assert answer.code == 1
    assert "there is no DICOM file to send" in answer.err


@pytest.mark.usefixtures("site")
def test_a_path_that_is_not_there_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    """Before anything is sent."""
    answer = run("send", image(tmp_path, "a.dcm"), tmp_path / "nowhere", "pacs")
    assert answer.code == 2
    assert "nowhere: there is no such file or folder" in answer.err


def test_a_peer_that_is_down_leaves_every_file_failed(run: Run, tmp_path: Path) -> None:
    """Each is named in JSON, once in words for people."""
    for name in ("a.dcm", "b.dcm"):
        image(tmp_path / "study", name)
    peer = f"PACS@127.0.0.1:{free_port()}"
    found = run("send", tmp_path / "study", peer, "--json")
    assert found.code == 1
    assert [Path(each["file"]).name for each in found.json["failed"]] == ["a.dcm", "b.dcm"]
    told = run("send", tmp_path / "study", peer)
    assert "failed: 2 files: not sent" in told.err
    assert "0 of 2 objects stored" in told.out


def _changed(folder: Path, name: str, change: Callable[[FileDataset], None]) -> Path:
    content = dcmread(image(folder, name))
    change(content)
    with (folder / name).open("wb") as file:
        file.write(bytes(128) + b"DICM")
        write_file_meta_info(_as_written(file), content.file_meta, enforce_standard=False)
        write_dataset(_as_written(file), content)
    return folder / name


def _as_written(file: BinaryIO) -> DicomFileLike:
    encoded = DicomFileLike(file)
    encoded.is_implicit_VR, encoded.is_little_endian = False, True
    return encoded


def _without_meta_uids(content: FileDataset) -> None:
    del content.file_meta.MediaStorageSOPInstanceUID, content.file_meta.MediaStorageSOPClassUID
    content.SOPInstanceUID = "1.2.3.1"


def _other_meta_uids(content: FileDataset) -> None:
    content.file_meta.MediaStorageSOPInstanceUID = UID("9.9.9")
    content.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.4")
    content.SOPInstanceUID = "1.2.3.2"


def _without_any_uid(content: FileDataset) -> None:
    del content.file_meta.MediaStorageSOPInstanceUID, content.SOPInstanceUID


def _no_uid(content: FileDataset) -> None:
    content.SOPInstanceUID = "ECHO \x07"


def _without_syntax(content: FileDataset) -> None:
    del content.file_meta.TransferSyntaxUID


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("site")
def test_finding_a10_an_object_goes_under_the_uids_of_its_data_set(run: Run, tmp_path: Path, pacs: DemoPACS) -> None:
    """Whatever the file meta information says, or leaves out; the node that gets it answers with success."""
    folder = tmp_path / "folder"
    _changed(folder, "1.dcm", _without_meta_uids)
    _changed(folder, "2.dcm", _other_meta_uids)
    done = run("send", str(folder), "pacs", "--json")
    assert (done.code, done.json["stored"], done.json["failed"], done.json["skipped"]) == (0, 2, [], [])
    assert {str(dcmread(path).SOPInstanceUID) for path in (tmp_path / "pacs").rglob("*.dcm")} == {"1.2.3.1", "1.2.3.2"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_any_uid, "has no SOP Instance UID (0008,0018)"),
        (_no_uid, "its SOP Instance UID (0008,0018) is not a UID"),
        (_without_syntax, "no DICOM file with SOP class and transfer syntax in its header"),
    ],
)
def test_finding_a10_a_bad_file_is_named_and_the_others_go(
    run: Run, tmp_path: Path, change: Callable[[FileDataset], None], why: str
) -> None:
    """No traceback: it is skipped with its reason."""
    folder = tmp_path / "folder"
    bad = _changed(folder, "1.dcm", change)
    (folder / "0.dcm").write_bytes(bytes(128) + b"DICM\x02\0\xff")
    image(folder, "2.dcm")
    done = run("send", str(folder), "pacs", "--json").json
    assert done["stored"] == 1
    assert {each["file"]: each["reason"] for each in done["skipped"]}[str(bad)] == why
    assert len(done["skipped"]) == 2


def test_destinations_that_speak_no_dimse_answer_by_their_names(run: Run, site: Path, tmp_path: Path) -> None:
    """DICOMweb by a question, a folder by a file; each refuses what only DIMSE can."""
    (tmp_path / "out").mkdir()
    with serving(DicomWebServer()) as server:
        kinds = f"  web: {{kind: dicomweb, url: '{server.url}'}}\n  drop: {{kind: folder, folder: out}}\n"
        site.write_text(f"{site.read_text()}{kinds}")
        answer = run("echo", "web", "--json")
        assert (answer.code, answer.json["answers"], answer.json["kind"]) == (0, True, "dicomweb")
        assert "answers QIDO-RS" in run("echo", "web").out
        server.questions = [saying(403)]
        refused = run("echo", "web")
        assert refused.code == 1
        assert "does not allow us this [403]" in refused.err
        told = run("check").out
        assert f"web: DICOMweb at {server.url}, for readers" in told
    assert f"drop (the folder {tmp_path / 'out'}) can be written" in run("echo", "drop").out
    assert "identity NOT checked: it cannot be asked" in run("check").out
    assert run("check", "--json").json["destinations"]["drop"]["folder"] == str(tmp_path / "out")
    away = run("echo", "web")
    assert away.code == 1
    assert "Connection refused" in away.err
    for command in (("echo", "--probe", "drop"), ("send", str(image(tmp_path, "a.dcm")), "drop")):
        assert run(*command).code == 2
