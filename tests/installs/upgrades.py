"""Whole nodes that go over to a later release, and back: they receive images before, meanwhile and afterwards."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from node.ledger.database import FILE
from node.release import upgrading
from node.release.answering import answers
from node.release.node_control import NodeProcess, holder
from node.release.releases import CURRENT
from node.release.upgrading import UpgradeFailedError, UpgradeSite
from node.store import upgrade_record
from node.store.layout import DataFolder
from tests.support.ports import free_ports
from tests.support.programs.peers import require_peer, storescu
from tests.support.sites.two_releases import BROKEN, LATER, NOW, TwoReleases
from tests.support.wait import until
from tests.unit.ledger.test_schemas import EARLIER, made


class RunningNode:
    """One node of this release, and two others that it can go over to."""

    def __init__(self, folder: Path) -> None:
        self.its = TwoReleases(folder)
        (self.port,) = free_ports(1)
        self.config, self.data = folder / "config.yaml", folder / "data"
        node = {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "data": "data"}
        listen = {"listen": {"host": "127.0.0.1", "port": self.port}}
        said = {"node": node | listen, "modalities": {"ct1": {"ae_title": "CT1"}}, "destinations": {}, "rules": []}
        self.config.write_text(json.dumps(said))
        DataFolder(self.data)
        upgrade_record.make_folder(self.data)
        self.control = NodeProcess(self.data, self.config)
        self.site = UpgradeSite(self.config, self.data, self.its.releases, self.control, "os:kim")

    def send(self, name: str) -> str:
        """One image of a study of its own; its SOP Instance UID."""
        dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (generate_uid() for _ in "123")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = self.data.parent / f"{name}.dcm"
        dataset.save_as(path)
        sent = storescu(self.port, [path], called="PACSNODE", calling="CT1")
        assert sent.returncode == 0, sent.stderr
        return str(dataset.SOPInstanceUID)

    def has(self, *uids: str) -> bool:
        """The ledger has exactly these, each once."""
        with closing(sqlite3.connect(f"file:{self.data / FILE}?mode=ro", uri=True)) as connection:
            found = [uid for (uid,) in connection.execute("SELECT sop_instance_uid FROM instances")]
        return sorted(found) == sorted(uids)

    def holds(self) -> int:
        """Studies that wait for a person."""
        with closing(sqlite3.connect(f"file:{self.data / FILE}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM studies WHERE hold IS NOT NULL").fetchone()[0])

    def schema(self) -> str:
        with closing(sqlite3.connect(f"file:{self.data / FILE}?mode=ro", uri=True)) as connection:
            return str(connection.execute("SELECT max(name) FROM _sqlite_migrations").fetchone()[0])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    require_peer("dcmtk")
    its = RunningNode(tmp_path_factory.mktemp("upgrade"))
    its.control.start(its.its.now.command)
    try:
        until(lambda: answers(its.data) is None, what="the node to answer")
        yield its
    finally:
        its.control.stop()


def test_a_node_goes_over_to_a_later_release_and_back(node: RunningNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not serve is gone back from; one that does is kept, until a person wants the one before."""
    first = node.send("first")
    until(lambda: node.has(first), what="the first image")

    command = [sys.executable, "-m", "node.cli", "upgrade", LATER, "--dry-run", "--json"]
    line = [*command, "--root", str(node.its.releases.root), "--config", str(node.config)]
    told = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    assert (told["refusal"], told["new_keys"], told["gone_keys"]) == ("", ["node.a_later_key"], [])
    assert node.schema() != "9999_later"

    monkeypatch.setattr(upgrading, "_STARTS_WITHIN", 30.0)
    with pytest.raises(UpgradeFailedError, match=f"gone back to {NOW} \\({BROKEN} does not serve"):
        upgrading.upgrade(node.site, node.its.broken)
    second = node.send("second")
    until(lambda: node.has(first, second), what="the second image")
    assert (node.schema() == "9999_later", node.its.releases.linked(CURRENT)) == (False, node.its.now)

    monkeypatch.setattr(upgrading, "_STARTS_WITHIN", 180.0)
    upgrading.upgrade(node.site, node.its.later)
    third = node.send("third")
    until(lambda: node.has(first, second, third), what="the third image")
    assert node.schema() == "9999_later"

    upgrading.roll_back(node.site, node.its.now)
    until(lambda: node.has(first, second, third), what="the third image, indexed again")
    assert (node.schema() == "9999_later", node.holds(), node.its.releases.linked(CURRENT)) == (False, 1, node.its.now)


@pytest.mark.parametrize("step", ["copy", "migrate", "switch"])
def test_an_upgrade_that_is_killed_is_ended_by_the_next_start(node: RunningNode, step: str) -> None:
    """By kill -9 of the command in the midst of it: the node is then started by hand, and says which way."""
    program = f"""
import os, signal, sys
from node.cli import main
from node.release import releases, upgrading
run, switch = upgrading.run_ledgers, releases.Releases.switch
def killing(site, release, step, *more, **named):
    done = run(site, release, step, *more, **named)
    if step == {step!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
def switching(self, to):
    switch(self, to)
    if {step!r} == "switch":
        os.kill(os.getpid(), signal.SIGKILL)
upgrading.run_ledgers, releases.Releases.switch = killing, switching
main(["upgrade", {LATER!r}, "--root", {str(node.its.releases.root)!r}, "--config", {str(node.config)!r}])
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert holder(node.data) is None
    release = node.its.releases.linked(CURRENT)
    node.control.start(release.command)
    until(lambda: answers(node.data) is None, what="the node to answer")
    assert not upgrade_record.is_open(node.data)
    outcome = upgrade_record.last(node.data).outcome
    if step == "switch":
        assert (node.schema(), "finished by this start" in outcome) == ("9999_later", True)
        upgrading.roll_back(node.site, node.its.now)
    else:
        says = "before anything was changed" if step == "copy" else f"gone back to {NOW}; the ledger is as it was"
        assert (node.schema() == "9999_later", says in outcome) == (False, True)


@pytest.mark.parametrize("name", EARLIER)
def test_a_ledger_of_every_earlier_schema_is_copied_and_migrated_by_the_command(tmp_path: Path, name: str) -> None:
    """As an upgrade does it: a process of its own, and the copy stays as it was."""
    DataFolder(tmp_path)
    made(tmp_path / FILE, name)
    for step in ("copy", "migrate"):
        command = [sys.executable, "-P", "-m", "node.release.ledgers", step, str(tmp_path)]
        assert subprocess.run(command, capture_output=True, text=True).stderr == ""
    with (
        closing(sqlite3.connect(tmp_path / "upgrade" / FILE)) as copied,
        closing(sqlite3.connect(tmp_path / FILE)) as now,
    ):
        counts = [each.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0] for each in (copied, now)]
    assert counts[0] < counts[1]
