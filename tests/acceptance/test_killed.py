"""kill -9 at chosen points (case 55): nothing is lost, nothing is there twice, and the node recovers by itself.

Each test sends one small study and has one process die on the way. In the end the PACS holds exactly one SR and its
pages with the right number, as if nothing had happened.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from node.dimse.demo_pacs import DemoPACS
from node.ledger import instances, jobs, objects
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobOutcome, JobStatus
from node.reading import reader
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.programs.peers import storescu
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

CHEST = Chest(size=64, slice_mm=23.0)
SLICES = 12
OBJECTS = 3  # the SR, its summary page, the plugin's picture
# A count is a rule's wish: without it, the part of a study that came before the kill could be a revision of its own.
WHOLE = rule(choose={"where": {"Modality": "CT", "image_count": {"at_least": SLICES}}, "take": "one"})


@dataclass(frozen=True)
class CT:
    """The series that every test here sends."""

    files: list[Path]
    study: str


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> CT:
    files = chest_series.write_series(CHEST, tmp_path_factory.mktemp("ct"))
    assert len(files) == SLICES
    return CT(files, str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID))


@pytest.fixture
def pacs(tmp_path: Path, ct: CT) -> Iterator[DemoPACS]:
    """A PACS that has the images already, as the one that forwards them."""
    with DemoPACS(tmp_path / "pacs", "PACS") as demo:
        for path in ct.files:
            (demo.folder / f"{path.stem}.dcm").symlink_to(path)
        yield demo


def make_site(folder: Path, pacs: DemoPACS, kill: str = "", parameters: dict[str, object] | None = None) -> Site:
    environment = {"PACSNODE_TEST_KILL": kill, "PACSNODE_TEST_KILL_ONCE": str(folder / "killed")} if kill else {}
    run = {"plugin": "mean-hu", "parameters": parameters} if parameters else "mean-hu"
    return Site(
        folder / "node", {"pacs": destination("PACS", pacs.port)}, [WHOLE | {"run": run}], environment=environment
    )


def send(site: Site, ct: CT) -> int:
    """Send the study until all of it was answered with success, as a modality does; how often that took."""
    # small PDUs, so that an object comes in several parts
    options = ("-R", "--max-send-pdu", "4096")
    for attempt in range(1, 6):
        done = storescu(site.port, ct.files, called="PACSNODE", calling="CT1", options=options)
        if done.returncode == 0:
            return attempt
    raise AssertionError(f"the study could not be sent: {done.stderr}")


def running_plugin(site: Site) -> psutil.Process:
    found = until(lambda: site.process("plugins.worker"), what="the plugin to run")
    assert found is not None
    return found


def assert_as_if_nothing_had_happened(site: Site, pacs: DemoPACS, ct: CT, again: int = 0) -> None:
    """One job, one SR, its pages, the right number, each instance once; nothing left over."""
    (job,) = site.wait_delivered(ct.study, OBJECTS)
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.FINDINGS)
    made = {each.sop_instance_uid: each for each in objects.of_job(site.ledger.database, job.id)}
    held = {
        str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path
        for path in pacs.files()
        if not path.is_symlink()
    }
    assert made.keys() == held.keys()
    assert Counter(each.kind for each in made.values()) == {"sr": 1, "sc": OBJECTS - 1}
    for uid, path in held.items():
        assert dcmread(path) == dcmread(site.data / made[uid].file)
    (sr,) = (held[uid] for uid, each in made.items() if each.kind == "sr")
    (number,) = (m.value for finding in reader.read_sr(sr).findings for m in finding.measurements)
    assert number == pytest.approx(CHEST.array.mean(), abs=0.001)
    assert pacs.received_again == again
    received = instances.of_study(site.ledger.database, ct.study, [InstanceStatus.CURRENT])
    assert len(received) == SLICES
    assert {path.stem for path in (site.data / "store").rglob("*.dcm")} == {
        each.receipt for each in instances.of_study(site.ledger.database, ct.study, list(InstanceStatus))
    }
    until(lambda: not site.left_over(), what="incoming/ and work/ to be empty")


RECEIVER = {
    # mid-object: two of the third object's three parts are written
    "mid_object": "node.receive.reception:Reception.write:after:8",
    "file_whole_before_rename": "node.store.part:PartFile.close:before:3",
    "renamed_before_folder_is_durable": "node.receive.reception:sync_folder:before:3",
    "durable_before_answer": "node.receive.reception:Reception.finish:after:3",
}
NODE = {
    "before_rows": "node.index.stage:record:before",
    # the rows of all are there, one of the files is moved
    "rows_before_move": "node.store.layout:DataFolder.stored:before:2",
    "in_completion": "node.index.completion:keep_facts:after",
    "mid_route": "node.ledger.jobs:enqueue:after",
    "result_kept_before_job_ended": "node.run.answer:accept:after",
    "objects_written_before_rows": "node.results.stage:ResultsStage._encode:after",
    "before_c_store": "node.deliver.ways.dimse:_DicomSender.store:before:2",
}


def _points(every: Iterable[str], here: str) -> list[object]:
    """One in each run, the others at night; the crash matrix takes random ones in each."""
    night = pytest.mark.at_night(f"{here}, and the crash matrix")
    return [each if each == here else pytest.param(each, marks=night) for each in every]


@pytest.mark.parametrize("point", _points(RECEIVER, "durable_before_answer"))
def test_fault_55_receiver_killed(point: str, ct: CT, pacs: DemoPACS, tmp_path: Path) -> None:
    """The sender sees a failure, never a success that was a lie; it sends again and all is well."""
    with make_site(tmp_path, pacs, RECEIVER[point]) as site:
        assert send(site, ct) > 1
        assert (tmp_path / "killed").exists()
        assert_as_if_nothing_had_happened(site, pacs, ct)


@pytest.mark.parametrize("point", _points(NODE, "objects_written_before_rows"))
def test_fault_55_node_killed(point: str, ct: CT, pacs: DemoPACS, tmp_path: Path) -> None:
    """The modality notices nothing, and the node goes on where it was."""
    with make_site(tmp_path, pacs, NODE[point]) as site:
        assert send(site, ct) == 1
        until((tmp_path / "killed").exists, what=f"the node to be killed at {point}")
        assert_as_if_nothing_had_happened(site, pacs, ct)


def test_fault_55_node_killed_after_the_answer_of_the_pacs(ct: CT, pacs: DemoPACS, tmp_path: Path) -> None:
    """What the PACS has accepted but the ledger does not know of is sent again under the same UID (case 68)."""
    with make_site(tmp_path, pacs, "node.deliver.ways.dimse:_DicomSender.store:after:2") as site:
        assert send(site, ct) == 1
        assert_as_if_nothing_had_happened(site, pacs, ct, again=1)
        assert (tmp_path / "killed").exists()


def test_fault_55_encoder_killed(ct: CT, pacs: DemoPACS, tmp_path: Path) -> None:
    """The process that encodes dies when its files are written: they are made anew, with the same UIDs."""
    with make_site(tmp_path, pacs, "node.results.encoder:carry_out:after") as site:
        assert send(site, ct) == 1
        assert_as_if_nothing_had_happened(site, pacs, ct)
        assert (tmp_path / "killed").exists()


def test_fault_55_plugin_killed_and_then_the_node_while_it_runs(ct: CT, pacs: DemoPACS, tmp_path: Path) -> None:
    """Each costs an attempt: a killed plugin is run again after half a minute; when the node dies, it ends too."""
    with make_site(tmp_path, pacs, parameters={"wait_for": "go"}) as site:
        send(site, ct)
        running_plugin(site).kill()
        until(lambda: jobs.of_study(site.ledger.database, ct.study)[0].error, what="the attempt to have failed")
        plugin, stages = running_plugin(site), site.process("node.app")
        assert stages is not None
        stages.kill()
        until(lambda: not plugin.is_running(), what="the plugin to end with the node")
        (site.plugin / "go").touch()
        assert_as_if_nothing_had_happened(site, pacs, ct)
        (job,) = jobs.of_study(site.ledger.database, ct.study)
        assert job.attempts == 3


def _can_be_bound(port: int) -> bool:
    """Whether nobody holds it. The kernel closes a killed process's files a moment after it left the process table."""
    with socket.socket() as freed:
        freed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            freed.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def test_fault_55_supervisor_killed_and_then_everything_at_once(ct: CT, pacs: DemoPACS, tmp_path: Path) -> None:
    """All processes end with the supervisor and the port is free; as after a loss of power, the next start goes on."""
    with make_site(tmp_path, pacs, parameters={"wait_for": "go"}) as site:
        send(site, CT(ct.files[: SLICES // 2], ct.study))
        port = site.port
        site.kill()
        until(lambda: _can_be_bound(port), what=f"port {port} to be free")
        site.restart()
        send(site, ct)
        running_plugin(site)
        site.power_off()
        (site.plugin / "go").touch()
        site.restart()
        assert_as_if_nothing_had_happened(site, pacs, ct)
