"""kill -9 in the midst of a backup, and of a restore: the last good backup stays, and half a folder is never used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.backup import manifest
from node.backup.folder import BackupFolder
from node.backup.making import BackupRun
from node.backup.restoring import restore
from node.backup.verifying import verify, verify_backup
from node.errors import PermanentError
from node.ledger import instances
from node.store import unfinished
from tests.support.sites.job_site import Site
from tests.support.wait import until

CONFIG = "node: {{time_zone: UTC, data: {data}}}\n"


def command(*arguments: object) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "node.cli", *map(str, arguments)], stderr=subprocess.DEVNULL)


@contextmanager
def never_read(path: Path) -> Iterator[None]:
    """Whoever opens this file waits: until the block ends a pipe is in its place."""
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    try:
        yield
    finally:
        path.unlink()
        path.write_bytes(content)


def other_end(path: Path, process: subprocess.Popen[bytes]) -> int:
    """The other end of the pipe, once the process reads it; 0 before."""
    assert process.poll() is None, "it ended, and should wait"
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


def kill_at(path: Path, *arguments: object) -> None:
    """SIGKILL to the command when it reads this file."""
    with never_read(path):
        process = command(*arguments)
        end = 0
        try:
            end = until(lambda: other_end(path, process), what=f"it comes to {path}")
        finally:
            process.kill()
            process.wait()
            if end:
                os.close(end)  # not before: it would read the end of the file


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A node with some images."""
    made = Site(tmp_path / "site")
    made.receive(6)
    (tmp_path / "config.yaml").write_text(CONFIG.format(data=made.data_folder.data))
    return made


def test_a_backup_is_killed_in_the_midst(site: Site, tmp_path: Path) -> None:
    """The one before is whole and is restored; the next one removes what was left."""
    target = tmp_path / "b"
    good = BackupRun(site.data_folder.data, target, site.clock, by="node").make()
    new = site.receive(6)
    kill_at(site.data_folder.find(new[3]), "backup", target, "--config", tmp_path / "config.yaml")
    assert len([*(target / "backups").glob(".*.part")]) == 1
    assert BackupFolder(target).names() == [good.name]
    assert verify_backup(target).sound
    restore(target, tmp_path / "new", site.clock, by="os:kim")
    assert verify(tmp_path / "new").sound
    again = BackupRun(site.data_folder.data, target, site.clock, by="node").make()
    assert (again.files, again.missing_count) == (good.files + 6, 0)
    assert verify_backup(target).sound
    assert [*(target / "backups").glob(".*")] == []


def test_a_restore_is_killed_in_the_midst(site: Site, tmp_path: Path) -> None:
    """No node starts on the half folder, which says what to do; the same command goes on, and all is there."""
    target, data = tmp_path / "b", tmp_path / "new"
    BackupRun(site.data_folder.data, target, site.clock, by="node").make()
    folder = BackupFolder(target)
    entry = [each for each in manifest.lines(folder.find()) if each.path.startswith("store")][3]
    kill_at(folder.pooled(entry.sha256), "restore", target, data)
    with pytest.raises(PermanentError, match="half restored"):
        unfinished.check(data)
    (tmp_path / "new.yaml").write_text(CONFIG.format(data=data))
    refused = subprocess.run(
        [sys.executable, "-m", "node.cli", "serve", "--allow-root", "--config", str(tmp_path / "new.yaml")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert refused.returncode == 1
    assert "half restored" in refused.stderr
    assert not (data / "ledger.db").exists()
    assert command("restore", target, data).wait(timeout=240) == 0
    assert verify(data).sound
    assert len([*instances.receipts(site.ledger.database)]) == 6
