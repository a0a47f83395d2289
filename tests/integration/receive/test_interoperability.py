"""Programs of other makers as senders, each in the ways that it can be told to send."""

from __future__ import annotations

import struct
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity

from node.dicom.uids import is_acceptable_uid
from node.store.arrival import read_arrival
from tests.support.dimse.raw_dimse import (
    COMMAND_LAST,
    CT,
    DATA_LAST,
    RawPeer,
    data_set,
    p_data,
    store_rq,
)
from tests.support.images.files_to_send import content_of, manifest, plain
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import dcmtk, program, storescu
from tests.support.programs.storescp import StoreSCP
from tests.support.shared_data import shared_data
from tests.support.sites.receiver import Receiver, data_set_of

VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
JPEG = "1.2.840.10008.1.2.4."
VIDEO_OPTIONS = {
    "-xm": f"{JPEG}100",
    "-xh": f"{JPEG}101",
    "-xn": f"{JPEG}102",
    "-xl": f"{JPEG}103",
    "-x2": f"{JPEG}104",
    "-x3": f"{JPEG}105",
    "-xo": f"{JPEG}106",
    "-x4": f"{JPEG}107",
    "-x5": f"{JPEG}108",
}
LENGTHS = [4096, 16384, 28672, 65536, 131072]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), node={"durability": "os"}) as running:
        yield running


def video(folder: Path, syntax: str) -> Path:
    """A video object; what is in the stream concerns neither sender nor receiver."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(VIDEO)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.77.1")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.77", "1.2.77.0"
    dataset.PixelData = encapsulate([bytes(range(200)) * 100])
    dataset["PixelData"].VR = "OB"
    path = folder / "video.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def new(receiver: Receiver, before: int) -> list[Path]:
    """What arrived since there were `before` objects."""
    return receiver.received()[before:]


def run(command: Sequence[str | Path | int]) -> None:
    """Run a program to its end, which must be a good one."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("option", VIDEO_OPTIONS)
def test_dcmtk_sends_video_in_each_transfer_syntax(receiver: Receiver, tmp_path: Path, option: str) -> None:
    """As storescu proposes it; the stream arrives as it was. The other options of storescu: test_store."""
    before, path = len(receiver.received()), video(tmp_path, VIDEO_OPTIONS[option])
    sent = storescu(receiver.port, [path], "PACSNODE", options=("-R", option))
    assert sent.returncode == 0, sent.stderr
    [copy] = new(receiver, before)
    assert read_arrival(copy)[0].transfer_syntax_uid == VIDEO_OPTIONS[option]
    assert dcmread(copy).PixelData == dcmread(path).PixelData


@pytest.mark.parametrize("option", ["-x=", "-xi"])
def test_dcmtk_sends_uncompressed_as_it_is_told(receiver: Receiver, tmp_path: Path, option: str) -> None:
    """Explicit VR Little Endian is the file's own, byte for byte; Implicit VR holds the same elements."""
    before, [path] = len(receiver.received()), plain(tmp_path)
    assert storescu(receiver.port, [path], "PACSNODE", options=("-R", option)).returncode == 0
    [copy] = new(receiver, before)
    if option == "-x=":
        assert data_set_of(copy) == content_of(path)
    assert dcmread(copy).PixelData == dcmread(path).PixelData


STILL_OPTIONS = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    f"{JPEG}50": "-xy",
    f"{JPEG}51": "-xx",
    f"{JPEG}70": "-xs",
    f"{JPEG}80": "-xt",
    f"{JPEG}81": "-xu",
    f"{JPEG}90": "-xv",
    f"{JPEG}91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}


@pytest.mark.filterwarnings("ignore")
def test_every_real_file_that_dcmtk_can_send_arrives_as_it_sent_it(
    receiver: Receiver, tmp_path: Path, full_length: bool
) -> None:
    """Byte for byte what dcmtk's own receiver gets from the same sender; `make soak` sends every file, else one in ten.

    What only dcmtk's receiver keeps has no UID that is one, or another in its data set than was announced.
    """
    root, before = shared_data(), len(receiver.received())
    rows = [row for row in manifest(root) if row["storable"] == "yes"]
    with StoreSCP(tmp_path / "witness", options=("+uf", "+xa")) as witness:
        for syntax, option in STILL_OPTIONS.items():
            paths = [root / row["path"] for row in rows if row["transfer_syntax"] == syntax]
            for target in (receiver.port, witness.port):
                storescu(target, paths if full_length else paths[::10], "PACSNODE", options=("-nh", "-R", option))
    ours = Counter(data_set_of(copy) for copy in new(receiver, before))
    theirs = Counter(content_of(path) for path in (tmp_path / "witness").iterdir())
    assert ours - theirs == Counter()
    lacking = [path for path in (tmp_path / "witness").iterdir() if content_of(path) not in ours]
    assert [path.name for path in lacking if _is_in_order(path)] == []
    assert ours.total() > (1100 if full_length else 110)


def _is_in_order(path: Path) -> bool:
    """Whether a receiver has no reason to refuse it (cases 29 to 31)."""
    content = dcmread(path, force=True, stop_before_pixels=True)
    keywords = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    uids = [str(content.get(keyword, "")) for keyword in keywords]
    meta = content.file_meta
    announced = [str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)]
    return all(is_acceptable_uid(uid) for uid in uids) and uids[:2] == announced


@pytest.mark.parametrize("length", LENGTHS)
def test_dcmtk_sends_pdus_of_each_length(receiver: Receiver, tmp_path: Path, length: int) -> None:
    """`--max-pdu` is what it takes, `--max-send-pdu` what it sends: 4 KiB to 128 KiB."""
    before, paths = len(receiver.received()), plain(tmp_path, 3)
    sizes = ("--max-pdu", str(length), "--max-send-pdu", str(length))
    assert storescu(receiver.port, paths, "PACSNODE", options=("-R", *sizes)).returncode == 0
    assert [data_set_of(copy) for copy in new(receiver, before)] == [content_of(path) for path in paths]


@pytest.mark.parametrize("options", [["+ma"], ["-ma"], ["--max-pdu", "131072"], ["--max-send-pdu", "4096"]])
def test_dcmsend(receiver: Receiver, tmp_path: Path, options: list[str]) -> None:
    """In several associations one after the other, or in a single one."""
    before, paths = len(receiver.received()), [*plain(tmp_path, 5), video(tmp_path, f"{JPEG}102")]
    sender = dcmtk("dcmsend")
    run([sender, *options, "-dn", "-aec", "PACSNODE", "127.0.0.1", receiver.port, *paths])
    arrived = {data_set_of(copy) for copy in new(receiver, before)}
    assert {content_of(path) for path in paths[:-1]} <= arrived
    assert len(arrived) == 6


def test_dcmtk_sends_on_four_associations_at_once(receiver: Receiver, tmp_path: Path) -> None:
    """Each object arrives once, byte for byte."""
    before = len(receiver.received())
    sender = dcmtk("storescu")
    series = [plain(tmp_path, 20, number, 50_000) for number in range(4)]
    running = [
        subprocess.Popen(
            [sender, "-R", "-aec", "PACSNODE", "-aet", f"S{number}", "127.0.0.1", str(receiver.port), *map(str, paths)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number, paths in enumerate(series)
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0, 0]
    arrived = sorted(data_set_of(copy) for copy in new(receiver, before))
    assert arrived == sorted(content_of(path) for paths in series for path in paths)


def test_orthanc_sends(receiver: Receiver, tmp_path: Path) -> None:
    """What Orthanc holds arrives byte for byte, a compressed object in its own transfer syntax."""
    before = len(receiver.received())
    paths = [*plain(tmp_path, 4), Path(str(get_testdata_file("MR_small_RLE.dcm")))]
    with Orthanc(tmp_path / "orthanc", modalities={"PACSNODE": receiver.port}) as pacs:
        assert storescu(pacs.dicom_port, paths, pacs.ae_title, options=("-R", "-xr")).returncode == 0
        instances: list[str] = pacs.rest("/instances")
        assert len(instances) == 5
        held = []
        for instance in instances:
            (tmp_path / "held.dcm").write_bytes(pacs.rest_bytes(f"/instances/{instance}/file"))
            held.append(content_of(tmp_path / "held.dcm"))
        done = pacs.post("/modalities/PACSNODE/store", {"Resources": instances, "Synchronous": True})
        assert done["FailedInstancesCount"] == 0
    copies = new(receiver, before)
    assert sorted(data_set_of(copy) for copy in copies) == sorted(held)
    assert "1.2.840.10008.1.2.5" in {read_arrival(copy)[0].transfer_syntax_uid for copy in copies}
    assert {read_arrival(copy)[0].calling_ae_title for copy in copies} == {"PACS"}


@pytest.mark.parametrize("length", [0, *LENGTHS])
def test_pynetdicom_sends(receiver: Receiver, tmp_path: Path, length: int) -> None:
    """As others use it, with each maximum length; 0 is unlimited."""
    before, paths = len(receiver.received()), plain(tmp_path, 3)
    entity = ApplicationEntity("PYNETDICOM")
    entity.add_requested_context(CT, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", receiver.port, ae_title="PACSNODE", max_pdu=length)
    assert association.is_established
    statuses = [association.send_c_store(dcmread(path)).Status for path in paths]
    association.release()
    assert statuses == [0, 0, 0]
    assert [data_set_of(copy) for copy in new(receiver, before)] == [content_of(path) for path in paths]


def test_odil_sends(receiver: Receiver, tmp_path: Path) -> None:
    """Odil writes the data set anew: the same elements, the same pixels."""
    before, paths = len(receiver.received()), plain(tmp_path, 3)
    sender = program("odil", "odil")
    run([sender, "echo", "127.0.0.1", receiver.port, "ODIL", "PACSNODE"])
    run([sender, "store", "127.0.0.1", receiver.port, "ODIL", "PACSNODE", *paths])
    copies = new(receiver, before)
    assert len(copies) == 3
    for copy, path in zip(copies, paths, strict=True):
        sent, arrived = dcmread(path), dcmread(copy)
        assert {element.tag for element in arrived} == {element.tag for element in sent}
        assert arrived.PixelData == sent.PixelData


@pytest.mark.parametrize("window", [(0, 0), (1, 1), (5, 5), (0xFFFF, 3)])
def test_asynchronous_operations_are_negotiated_down_to_one(receiver: Receiver, window: tuple[int, int]) -> None:
    """Whatever window is proposed, the answer allows one operation at a time (PS3.7 D.3.3.3), by an item or by none.

    Three requests sent at once are answered in order all the same.
    """
    before = len(receiver.received())
    with RawPeer(receiver.connect()) as peer:
        body = peer.associate(user_items=struct.pack(">BxHHH", 0x53, 4, *window))
        items = body[body.index(b"\x50\x00") :]
        at = items.find(b"\x53\x00\x00\x04")
        assert at < 0 or items[at + 4 : at + 8] == struct.pack(">HH", 1, 1)
        for number in range(1, 4):
            request = store_rq(sop_instance=f"1.2.53.{number}", message_id=number)
            peer.send(
                p_data(1, COMMAND_LAST, request) + p_data(1, DATA_LAST, data_set(sop_instance=f"1.2.53.{number}"))
            )
        assert [peer.status() for _ in range(3)] == [0, 0, 0]
        peer.release()
    assert [read_arrival(copy)[0].sop_instance_uid for copy in new(receiver, before)] == [
        "1.2.53.1",
        "1.2.53.2",
        "1.2.53.3",
    ]
