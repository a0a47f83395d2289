"""What the doctor says of a distribution, by files such as Ubuntu and Rocky have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.problems import Place, Problem
from node.desk.doctor import system_checks
from node.desk.doctor.finding import Diagnosis
from node.desk.doctor.system_checks import NamespaceSwitch
from node.installation import places


@pytest.mark.parametrize(
    ("version", "diagnosis"),
    [((3, 9), Diagnosis.DOUBTFUL), ((3, 11), Diagnosis.GOOD), ((3, 13), Diagnosis.GOOD), ((3, 14), Diagnosis.DOUBTFUL)],
)
def test_versions_of_python(version: tuple[int, int], diagnosis: Diagnosis) -> None:
    """Rocky 9 has 3.9; what is newer than the lock files has not been tried."""
    assert system_checks.python(version).diagnosis is diagnosis


def test_ubuntu_forbids_user_namespaces_until_there_is_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the profile that `pacsnode install` writes, the service may make some; the shell may not."""
    switch = tmp_path / "switch"
    switch.write_text("1\n")
    monkeypatch.setattr(places, "APPARMOR_SWITCH", switch)
    monkeypatch.setattr(places, "APPARMOR", tmp_path / "profile")
    told = (NamespaceSwitch("kernel.x", "1", switch, "forbidden", "do this"),)
    [found] = system_checks.namespaces(told)
    assert (found.diagnosis, found.next_step) == (Diagnosis.WRONG, "do this")
    (tmp_path / "profile").touch()
    [found] = system_checks.namespaces(told)
    assert found.diagnosis is Diagnosis.DOUBTFUL
    switch.write_text("0\n")
    [found] = system_checks.namespaces(told)
    assert found.diagnosis is Diagnosis.GOOD
    switch.unlink()
    [found] = system_checks.namespaces(told)
    assert found.diagnosis is Diagnosis.GOOD


@pytest.mark.parametrize(
    ("enforcing", "label", "diagnosis"),
    [
        (None, None, Diagnosis.GOOD),
        ("0", None, Diagnosis.GOOD),
        ("1", "system_u:system_r:unconfined_service_t:s0", Diagnosis.GOOD),
        ("1", "system_u:system_r:init_t:s0", Diagnosis.DOUBTFUL),
        ("1", None, Diagnosis.DOUBTFUL),
    ],
)
def test_selinux(tmp_path: Path, enforcing: str | None, label: str | None, diagnosis: Diagnosis) -> None:
    """Of Rocky: a domain of its own would be another policy than ours was tried under."""
    for name, text in (("enforce", enforcing), ("current", label)):
        if text is not None:
            (tmp_path / name).write_text(f"{text}\0" if name == "current" else text)
    assert system_checks.selinux(tmp_path / "enforce", tmp_path / "current").diagnosis is diagnosis


def test_a_node_that_nothing_starts_is_doubtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a unit, and with one that is not enabled."""
    monkeypatch.setattr(places, "BOOTED", tmp_path)
    monkeypatch.setattr(places, "SERVICE", tmp_path / "pacsnode.service")
    monkeypatch.setattr(places, "UNITS", tmp_path)
    assert "nothing starts the node" in system_checks.service().said
    (tmp_path / "pacsnode.service").touch()
    assert "systemctl enable" in system_checks.service().next_step
    (tmp_path / "multi-user.target.wants").mkdir()
    (tmp_path / "multi-user.target.wants" / "pacsnode.service").symlink_to("/nowhere")
    assert system_checks.service().diagnosis is Diagnosis.GOOD
    monkeypatch.setattr(places, "BOOTED", tmp_path / "none")
    assert system_checks.service().diagnosis is Diagnosis.NOT_SEEN


def test_a_secret_that_others_can_read_is_wrong() -> None:
    """With the command that closes it."""
    text = "other users can read or replace token (mode 0644): chmod 600 token"
    [found] = system_checks.secrets([Problem(Place("config.yaml", 1, 1), "people.a.webhook.token_file", text)])
    assert (found.diagnosis, found.next_step) == (Diagnosis.WRONG, "chmod 600 token")
    [found] = system_checks.secrets([])
    assert found.diagnosis is Diagnosis.GOOD
