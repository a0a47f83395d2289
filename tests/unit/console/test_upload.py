"""Files that are given to the console: explained without a trace, or taken as if a modality had sent them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from node.accounts.roles import Role
from node.clock import SystemClock
from node.config import in_force, loading
from node.config.in_force import InForce
from node.console import receiving
from node.desk import uploaded_files
from node.desk.uploaded_files import UploadedFile, UploadTooLargeError
from node.ledger.rows import query
from node.store.arrival import read_arrival
from tests.support.clocks import HandClock
from tests.support.console import ConsoleClient, text_of
from tests.support.images.files_to_send import content_of, plain
from tests.support.sites.job_site import Site

CONFIG = """\
node: {time_zone: Asia/Seoul, data: data, limits: {free_space: 1MiB}}
rules:
  - {name: given, when: {Modality: CT, origin: uploaded}, choose: {take: one}, run: lung-density, mode: shadow}
  - {name: other, when: {Modality: MR}, choose: {take: one}, run: lung-density, mode: shadow}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node that has received nothing."""
    made = Site(tmp_path_factory.mktemp("site"), HandClock(SystemClock().now()))
    (made.folder / "config.yaml").write_text(CONFIG)
    in_force.write(InForce.of(loading.read(made.folder / "config.yaml"), SystemClock().now(), "os:test"))
    yield made
    made.ledger.close()


@pytest.fixture(scope="module")
def admin(site: Site) -> ConsoleClient:
    """Who is logged in for all tests."""
    client = ConsoleClient(site.folder / "data" / in_force.FILE, site.folder / "data")
    client.log_in(Role.ADMIN)
    return client


@pytest.fixture
def console(site: Site, admin: ConsoleClient) -> Iterator[ConsoleClient]:
    """The console; after each test nothing is left of an upload, and nothing that was taken waits."""
    yield admin
    assert list((site.folder / "data" / "uploads").glob("*")) == []
    for path in (site.folder / "data" / "incoming").iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three CT images of one series."""
    return plain(tmp_path_factory.mktemp("images"), 3, pixels=2_000)


def _zip(entries: Sequence[tuple[str, bytes]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return made.getvalue()


def _give(console: ConsoleClient, what: str, files: Sequence[tuple[str, bytes]], token: str = "") -> httpx.Response:
    sent = {"csrf": token or console.token(), "do": what}
    return console.ask("POST", "/upload", data=sent, files=[("files", each) for each in files])


def _incoming(site: Site) -> list[Path]:
    return sorted((site.folder / "data" / "incoming").iterdir())


def test_files_are_explained_and_nothing_is_stored(console: ConsoleClient, site: Site, images: list[Path]) -> None:
    """Every rule with its clauses, by files and archives together; what rules do not see is named with the reason."""
    archive = _zip([("DICOMDIR", b"x"), *((each.name, each.read_bytes()) for each in images[1:])])
    files = [(images[0].name, images[0].read_bytes()), ("all.zip", archive), ("note.txt", b"hello")]
    said = text_of(_give(console, "explain", files))
    assert "3 files were read, and nothing is stored" in said
    assert "One series, 3 images" in said
    assert "✓ matches given" in said
    assert "+ origin: uploaded" in said
    assert "does not match other" in said
    assert "note.txt ! not seen no DICOM file" in said
    assert "DICOMDIR" not in said
    assert _incoming(site) == []


def test_files_that_are_taken_are_received_files(console: ConsoleClient, site: Site, images: list[Path]) -> None:
    """Byte for byte, durable, with where they come from; an event names who gave them."""
    said = text_of(_give(console, "send", [("a/b/all.zip", _zip([(each.name, each.read_bytes()) for each in images]))]))
    assert "3 files are received" in said
    taken = _incoming(site)
    assert [path.suffix for path in taken] == [".dcm"] * 3
    assert [content_of(path) for path in taken] == [content_of(path) for path in images]
    arrivals = [read_arrival(path)[0] for path in taken]
    assert {(each.origin, each.calling_ae_title, each.called_ae_title) for each in arrivals} == {
        ("uploaded", "UPLOAD", "PACSNODE")
    }
    assert len({each.association for each in arrivals}) == 1
    assert site.data_folder.open_associations() == frozenset()
    with site.ledger.snapshot() as database:
        (event,) = query(database, "SELECT actor, study_instance_uid FROM events WHERE kind='study.uploaded'")
    study = str(dcmread(images[0], stop_before_pixels=True).StudyInstanceUID)
    assert event == {"actor": "user:admin", "study_instance_uid": study}


def test_what_the_node_would_not_store_is_refused_file_by_file(
    console: ConsoleClient, site: Site, images: list[Path], tmp_path: Path
) -> None:
    """The sound ones are taken; each other one says why not."""
    worklist = dcmread(images[0])
    worklist.SOPClassUID = worklist.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.31")
    worklist.save_as(tmp_path / "w.dcm")
    nameless = dcmread(images[0])
    del nameless.StudyInstanceUID
    nameless.save_as(tmp_path / "n.dcm")
    liar = dcmread(images[0])
    liar.SOPInstanceUID = "1.2.3.4"
    liar.save_as(tmp_path / "l.dcm")
    names = ["w.dcm", "n.dcm", "l.dcm"]
    files = [("empty.dcm", b""), *((name, (tmp_path / name).read_bytes()) for name in names)]
    said = text_of(_give(console, "send", [*files, ("good.dcm", images[0].read_bytes())]))
    assert "One file is received. 4 were not taken" in said
    assert "Modality Worklist" in said
    assert "Study or Series Instance UID is missing" in said
    assert "two different SOP instances" in said
    assert len(_incoming(site)) == 1


def test_hostile_archives_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names lead nowhere; a bomb, an encrypted entry, an archive in an archive, and one that is cut off."""
    inner = _zip([("x", b"y")])
    sent = tmp_path / "sent"
    sent.write_bytes(_zip([("../../../evil", b"e"), ("/etc/evil", b"f"), ("in.zip", inner), ("deep/", b"")]))
    folder = tmp_path / "scratch"
    folder.mkdir()
    found = uploaded_files.unpacked([UploadedFile("a.zip", sent)], folder, 0)
    assert [each.path.parent for each in found.files] == [folder, folder]
    assert found.left_out == [("a.zip: in.zip", "is a ZIP inside a ZIP")]
    cut = tmp_path / "cut"
    cut.write_bytes(_zip([("x", b"y" * 5000)])[:-30])
    locked = bytearray(_zip([("x", b"y")]))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + place] |= 1
    (tmp_path / "locked").write_bytes(locked)
    bad = [UploadedFile(name, tmp_path / name) for name in ("cut", "locked")]
    reasons = dict(uploaded_files.unpacked(bad, folder, 0).left_out)
    assert reasons["locked: x"] == "is encrypted"
    assert reasons["cut"].startswith("cannot be unpacked")
    monkeypatch.setattr(uploaded_files, "_ANY_RATIO", 2**20)
    (tmp_path / "bomb").write_bytes(_zip([("x", bytes(5 * 2**20))]))
    with pytest.raises(UploadTooLargeError, match="unpack to far more than they are"):
        uploaded_files.unpacked([UploadedFile("bomb", tmp_path / "bomb")], folder, 0)
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(uploaded_files, "MOST_FILES", 3)
    with pytest.raises(UploadTooLargeError, match="more than 3 files"):
        uploaded_files.unpacked([UploadedFile("a.zip", sent)], other, 0)
    with pytest.raises(UploadTooLargeError, match="too little space"):
        uploaded_files.unpacked([UploadedFile("a.zip", sent)], other, 2**62)


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(
    console: ConsoleClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its announced length, or while it comes in; a node without space takes none."""
    monkeypatch.setattr(receiving, "MOST_BYTES", 1000)
    assert "at most" in text_of(_give(console, "send", [("a", bytes(2000))]))
    monkeypatch.setattr(receiving, "check_length", lambda _: 0)
    assert "at most" in text_of(_give(console, "send", [("a", bytes(2000))]))
    monkeypatch.undo()
    monkeypatch.setattr(receiving, "check_length", lambda _: 2**62)
    assert "takes no upload of this size now" in text_of(_give(console, "send", [("a", b"x")]))


def test_who_may_not_upload_cannot(console: ConsoleClient, site: Site) -> None:
    """Neither without the form's token, nor in another role, nor by a form that is not one."""
    answer = _give(console, "send", [("a", b"x")], token="another")
    assert (answer.status_code, "this form is too old" in text_of(answer)) == (403, True)
    late = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    assert console.ask("POST", "/upload", content=body, headers=late).status_code == 403
    for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=c"):
        assert console.ask("POST", "/upload", content=body, headers={"Content-Type": kind}).status_code == 400
    viewer = ConsoleClient(site.folder / "data" / in_force.FILE, site.folder / "data")
    viewer.log_in(Role.VIEWER)
    assert viewer.get("/upload").status_code == 403
    assert _give(viewer, "explain", [("a", b"x")]).status_code == 403
    assert _incoming(site) == []
