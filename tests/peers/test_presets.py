"""Each preset's objects, sent by our own SCU, are stored whole by archives of other makers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from node.config.destinations import PRESETS, DicomDestination
from node.deliver.copies import Copies
from node.deliver.preparing import FileToSend, fallbacks
from node.dicom.part10 import kind_of
from node.dicom.transcoding import with_fallbacks
from node.dimse.scu import Peer, echo
from node.dimse.storage_scu import StorageSCU
from node.errors import NodeError
from tests.support.ports import started_on_a_free_port
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import dcmtk
from tests.support.results import reports
from tests.support.sites.result_site import PACS
from tests.support.wait import until

CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 4
HostTable BEGIN
node = (PACSNODE, 127.0.0.1, 11112)
HostTable END
AETable BEGIN
PACS {folder} RW (50, 1024mb) ANY
AETable END
"""


def _files(folder: Path, preset: str) -> list[Path]:
    profile = DicomDestination.model_validate(PACS | {"preset": preset}).encoding
    paths = reports.write_series("ct", folder / "in")
    results = (reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct")))
    return [
        made.path
        for number, result in enumerate(results)
        for made in reports.whole(
            reports.request(paths, result, profile=profile, job_id=f"j{number}"), folder / str(number)
        )
    ]


def _send(peer: Peer, files: list[Path], folder: Path) -> list[int | None]:
    """As the outbox does: as it is, or in a copy in a transfer syntax that the archive takes."""
    copies = Copies(folder)
    statuses: list[int | None] = []
    try:
        with StorageSCU(peer, set().union(*(with_fallbacks(kind_of(path)) for path in files))) as scu:
            for number, path in enumerate(files):
                kind = kind_of(path)
                syntax = next(each for each in (kind[1], *fallbacks(*kind)) if scu.accepts(kind[0], each))
                order = FileToSend(path, path)
                if syntax != kind[1]:
                    made = copies.make(FileToSend(path, copies.target(number), transfer_syntax=syntax))
                    assert isinstance(made, FileToSend), made
                    order = made
                statuses.append(scu.store(order.target).status)
    finally:
        copies.close()
    return statuses


def _accepted_classes(peer: Peer) -> set[str]:
    """What `pacsnode echo --probe` reports as accepted."""
    command = [
        sys.executable,
        "-m",
        "node.cli",
        "echo",
        f"{peer.ae_title}@{peer.host}:{peer.port}",
        "--probe",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {uid for uid, syntaxes in json.loads(done.stdout)["accepts"].items() if syntaxes}


@pytest.fixture
def dcmqrscp(tmp_path: Path) -> Iterator[tuple[Peer, Path]]:
    """dcmtk's archive and the folder it stores into."""
    stored = tmp_path / "stored"
    stored.mkdir()

    def start(port: int) -> subprocess.Popen[bytes]:
        configuration = tmp_path / "dcmqrscp.cfg"
        configuration.write_text(CONFIGURATION.format(port=port, folder=stored))
        return subprocess.Popen([dcmtk("dcmqrscp"), "-c", str(configuration)])

    process, port = started_on_a_free_port(start)
    peer = Peer("127.0.0.1", port, "PACS", "PACSNODE")

    def answers() -> bool:
        try:
            echo(peer)
        except NodeError:
            return False
        return True

    try:
        until(answers, what="dcmqrscp to answer")
        yield peer, stored
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("preset", PRESETS)
def test_dcmqrscp_stores_every_preset(dcmqrscp: tuple[Peer, Path], tmp_path: Path, preset: str) -> None:
    """Every object is answered with success and is there, under its own UID."""
    peer, stored = dcmqrscp
    files = _files(tmp_path, preset)
    assert _accepted_classes(peer) >= {str(dcmread(path).SOPClassUID) for path in files}
    assert _send(peer, files, tmp_path / "copies") == [0x0000] * len(files)
    kept = {str(dcmread(path).SOPInstanceUID) for path in stored.iterdir() if path.name != "index.dat"}
    assert kept == {str(dcmread(path).SOPInstanceUID) for path in files}


@pytest.mark.parametrize("preset", PRESETS)
def test_orthanc_stores_every_preset(tmp_path: Path, preset: str) -> None:
    """Every object is answered with success and served again."""
    files = _files(tmp_path, preset)
    with Orthanc(tmp_path / "pacs", modalities={"PACSNODE": 11112}) as pacs:
        peer = Peer("127.0.0.1", pacs.dicom_port, pacs.ae_title, "PACSNODE")
        assert _accepted_classes(peer) >= {str(dcmread(path).SOPClassUID) for path in files}
        statuses = _send(peer, files, tmp_path / "copies")
        assert statuses == [0x0000] * len(files)
        served = {_uid(content) for content in pacs.files(PatientID="12345678")}
    assert served == {str(dcmread(path).SOPInstanceUID) for path in files}


def _uid(content: bytes) -> str:

    return str(dcmread(BytesIO(content)).SOPInstanceUID)
