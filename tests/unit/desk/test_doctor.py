"""What the doctor says of one thing at a time; `tests/unit/cli/test_doctor.py` has the whole examination."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.config import loading
from node.config.models import Configuration
from node.desk import certificates, peers
from node.desk.doctor import machine_checks, network_checks, plugin_checks, site_checks, system_checks
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.dimse import scu
from node.dimse.scu import Peer, UnreachableError
from node.run.confinement import Confinement
from node.store.callers import RefusedCaller
from tests.support.ports import free_port

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONFIG = """
node: {{time_zone: UTC, listen: {{host: 127.0.0.1, port: {port}}}}}
modalities: {{ct1: {{ae_title: CT1}}}}
destinations: {{pacs: {{ae_title: PACS, host: 127.0.0.1, port: 104}}}}
"""


def configured(folder: Path, port: int = 11112) -> Configuration:
    """A site with a scanner and a PACS; its data folder is there."""
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG.format(port=port))
    return loading.load(folder / "config.yaml")


def test_a_port_that_is_taken_is_wrong_and_names_the_program(tmp_path: Path) -> None:
    """Here the test's own."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        (found,) = network_checks.ports(configured(tmp_path, port), None)
    assert (found.diagnosis, found.what) == (Diagnosis.WRONG, f"port {port} (DICOM)")
    assert "the port is taken by " in found.said


def test_a_free_port_is_good(tmp_path: Path) -> None:
    """Nothing listens on it afterwards."""
    port = free_port()
    (found,) = network_checks.ports(configured(tmp_path, port), None)
    assert found.diagnosis is Diagnosis.GOOD
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_an_address_of_another_machine_is_wrong(tmp_path: Path) -> None:
    """203.0.113.1 is nobody's (RFC 5737)."""
    site = configured(tmp_path)
    listen = site.node.listen.model_copy(update={"host": "203.0.113.1"})
    (found,) = network_checks.ports(
        site.model_copy(update={"node": site.node.model_copy(update={"listen": listen})}), None
    )
    assert (found.diagnosis, found.said) == (Diagnosis.WRONG, "203.0.113.1 is not an address of this machine")


def test_a_peer_that_answers_short_messages_alone_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a tunnel drops large packets: the C-ECHO comes back, the long request for an association does not."""

    def silent(peer: Peer) -> None:
        raise UnreachableError(f"{peer} took the connection but did not answer the association request in 10 s")

    monkeypatch.setattr(scu, "echo", lambda peer: None)
    monkeypatch.setattr(peers, "probe", silent)
    found = network_checks.first_contact(Peer("127.0.0.1", 104, "PACS", "PACSNODE"), 11112)
    assert found.diagnosis is Diagnosis.WRONG
    assert "not a long request" in found.said
    assert "ping -M do -s 1472 127.0.0.1" in found.next_step


@pytest.mark.parametrize(
    ("heard", "refused", "expected"),
    [
        ({"CT1", "PACS"}, {}, {"who calls us": Diagnosis.GOOD}),
        ({"CT1"}, {}, {"who calls us": Diagnosis.NOT_SEEN}),
        ({"CT1"}, {"PACS": "its address is not 127.0.0.1"}, {"caller PACS": Diagnosis.DOUBTFUL}),
    ],
)
def test_who_has_never_called_is_named_once(
    tmp_path: Path, heard: set[str], refused: dict[str, str], expected: dict[str, Diagnosis]
) -> None:
    """A caller that is refused is heard, and one-way firewalls let nobody be heard."""
    callers = [RefusedCaller(title, "PACSNODE", "10.0.0.5", why, 3, NOW) for title, why in refused.items()]
    found = {
        each.what: each
        for each in network_checks.callers(configured(tmp_path), {(title, "10.0.0.5") for title in heard}, callers)
    }
    assert {what: each.diagnosis for what, each in found.items() if each.diagnosis is not Diagnosis.GOOD} == {
        what: diagnosis for what, diagnosis in expected.items() if diagnosis is not Diagnosis.GOOD
    }
    if Diagnosis.NOT_SEEN in expected.values():
        assert "destination pacs" in found["who calls us"].said
        assert "modality ct1" not in found["who calls us"].said


@pytest.mark.parametrize(
    ("kind", "diagnosis"), [("ext4", Diagnosis.GOOD), ("nfs4", Diagnosis.WRONG), ("tmpfs", Diagnosis.WRONG)]
)
def test_a_file_system_that_promises_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, diagnosis: Diagnosis
) -> None:
    """Of another machine, or in memory."""
    monkeypatch.setattr(machine_checks, "file_system", lambda folder: kind)
    found = {each.what: each for each in machine_checks.disk(configured(tmp_path))}
    assert found["file system"].diagnosis is diagnosis
    assert "512 kB" in found["speed of the disk"].said
    assert not [each for each in (tmp_path / "data").iterdir() if each.name.startswith(".doctor")]


def test_a_slow_disk_is_doubtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time that one object takes."""
    monkeypatch.setattr(machine_checks, "_SLOW", 0.0)
    found = {each.what: each for each in machine_checks.disk(configured(tmp_path))}
    assert found["speed of the disk"].diagnosis is Diagnosis.DOUBTFUL


@pytest.mark.parametrize(("kept_right", "diagnosis"), [(True, "good"), (False, "doubtful"), (None, "not seen")])
def test_a_clock_that_nobody_keeps_right_is_doubtful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_right: bool | None, diagnosis: str
) -> None:
    """As the kernel says."""
    monkeypatch.setattr(machine_checks, "_kept_right", lambda: kept_right)
    assert machine_checks.clock(configured(tmp_path), NOW).diagnosis == diagnosis


def test_a_log_in_a_file_that_nothing_makes_smaller_is_doubtful(tmp_path: Path) -> None:
    """Here standard error of a process that stands for the node."""
    with (tmp_path / "node.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=log)
        try:
            found = machine_checks.log_file({"pid": process.pid})
        finally:
            process.communicate(b"\n")
    assert found.diagnosis is Diagnosis.DOUBTFUL
    assert str(tmp_path / "node.log") in found.said
    assert machine_checks.log_file(None).diagnosis is Diagnosis.NOT_SEEN


@pytest.mark.parametrize(
    ("mode", "diagnosis"), [(0o700, Diagnosis.GOOD), (0o750, Diagnosis.GOOD), (0o755, Diagnosis.WRONG)]
)
def test_a_data_folder_that_everybody_can_look_into_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, diagnosis: Diagnosis
) -> None:
    """Where the folders above let them through."""
    monkeypatch.setattr(site_checks, "_leads_there", lambda folder: True)
    site = configured(tmp_path)
    (tmp_path / "data").chmod(mode)
    found = site_checks.permissions(site)
    assert found.diagnosis is diagnosis
    if diagnosis is Diagnosis.WRONG:
        assert found.next_step == f"chmod o-rwx {tmp_path / 'data'}"


def test_the_switch_that_forbids_a_sandbox_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AppArmor of Ubuntu 24.04."""
    switch = replace(system_checks.SWITCHES[0], file=tmp_path / "switch")
    switch.file.write_text(f"{switch.forbids}\n")
    monkeypatch.setattr(system_checks, "SWITCHES", (switch,))
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    confinement = Confinement(False, "not isolated: bubblewrap does not work here", "warning")
    monkeypatch.setattr(plugin_checks, "tried", lambda configuration: confinement)
    found = plugin_checks.sandbox(configured(tmp_path))
    assert (found.diagnosis, found.next_step) == (Diagnosis.DOUBTFUL, switch.step)
    assert "AppArmor forbids user namespaces" in found.said


def test_a_node_that_runs_as_root_is_doubtful() -> None:
    """Process 1 is root's everywhere."""
    assert machine_checks.user({"pid": 1}).diagnosis is Diagnosis.DOUBTFUL


def test_a_certificate_that_has_ended_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key that names it."""
    said = [
        ("node.listen.tls.certificate", "alert", "the certificate tls/node.pem ended on 2026-02-01: peers refuse it")
    ]
    monkeypatch.setattr(certificates, "reminders", lambda configuration, now: iter(said))
    (found,) = site_checks.validity(configured(tmp_path), NOW + timedelta(days=1))
    assert isinstance(found, DoctorFinding)
    assert (found.diagnosis, found.said.split(":")[0]) == (Diagnosis.WRONG, "node.listen.tls.certificate")


def test_destinations_of_other_kinds_are_tried_in_their_own_way(tmp_path: Path) -> None:
    """A folder that is not there is wrong, with what to look at; one that is there is good."""
    kinds = "destinations: {drop: {kind: folder, folder: out}, web: {kind: dicomweb, url: 'http://localhost:9/'}}"
    (tmp_path / "config.yaml").write_text(f"node: {{time_zone: UTC}}\n{kinds}\n")
    found = loading.load(tmp_path / "config.yaml")
    drop, web = network_checks.destinations(found)
    assert (drop.what, drop.diagnosis, web.diagnosis) == ("destination drop", Diagnosis.WRONG, Diagnosis.WRONG)
    assert "is its file server mounted?" in drop.said
    assert "Connection refused" in web.said
    (tmp_path / "out").mkdir()
    drop, _ = network_checks.destinations(found)
    assert (drop.diagnosis, drop.said) == (Diagnosis.GOOD, f"the folder {tmp_path / 'out'} can be written")
