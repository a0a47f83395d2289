"""Files that a plugin reads beyond its folder: part of what runs, of its Device UID, and of what must hold still."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config.allowing import PluginGrants
from node.config.models import PluginUse
from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import JobStatus
from node.results.uids import device_uid
from node.run import granted_files
from node.run.digests import CodeDigests
from node.run.file_digests import FileDigests
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from plugins import manifest
from plugins.manifest import Manifest
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.wait import until
from tests.unit.run.test_digests import PYTHON, made

SCRIPT = """
#!/bin/sh
WORK
echo '{"schema": 1, "status": "not_applicable", "summary": "x"}' > "$1/out/result.json"
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"a")
    (folder / "deep" / "b.bin").write_bytes(b"b")
    return folder


@pytest.fixture
def plugin(tmp_path: Path, models: Path) -> Manifest:
    runtime = f'[runtime]\nreadable = ["{models}"]'
    return made(tmp_path / "nodules", PYTHON.replace("[runtime]", runtime))


def _rewrite(models: Path) -> None:
    (models / "deep" / "b.bin").write_bytes(b"B")


def _add(models: Path) -> None:
    (models / "c.bin").write_bytes(b"")


def _remove(models: Path) -> None:
    (models / "a.bin").unlink()


@pytest.mark.parametrize("change", [_rewrite, _add, _remove])
def test_another_model_is_another_device(plugin: Manifest, models: Path, change: Callable[[Path], None]) -> None:
    """The digest names the file, and the Device UID is another one; nothing changed: both are the same."""
    before = CodeDigests().of(plugin)
    assert CodeDigests().of(plugin) == before
    change(models)
    after = CodeDigests().of(plugin)
    assert before.changed(after).startswith(f"readable {models}/")
    uids = [device_uid(plugin.identity.as_it_ran(each.weights, each.software)) for each in (before, after)]
    assert uids[0] != uids[1]


def test_a_single_file_counts_by_its_content(tmp_path: Path) -> None:
    """A copy with other times is the same device; what is not there counts as that."""
    model = tmp_path / "model.bin"
    runtime = f'[runtime]\nreadable = ["{model}"]'
    plugin = made(tmp_path / "nodules", PYTHON.replace("[runtime]", runtime))
    missing = CodeDigests().of(plugin)
    model.write_bytes(b"1")
    first = CodeDigests().of(plugin)
    model.unlink()
    model.write_bytes(b"1")
    os.utime(model, (1, 1))
    assert CodeDigests().of(plugin) == first
    assert missing.changed(first) == f"readable {model}"


def test_of_a_huge_folder_the_rest_counts_by_its_status(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes beyond the bytes that are read is not read, and a change of it is noticed anyway."""
    monkeypatch.setattr(granted_files, "MOST_READ", 1)
    read: list[Path] = []

    def digest(path: Path) -> str:
        read.append(path)
        return FileDigests().of(path)

    before = dict(granted_files.digests([models], digest))
    assert read == [models / "a.bin"]
    (models / "deep" / "b.bin").write_bytes(b"other")
    after = dict(granted_files.digests([models], digest))
    assert [name for name in before if before[name] != after[name]] == [f"readable {models}/deep/b.bin"]


def test_of_a_folder_with_very_many_files_the_first_count(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look ends, and the digest stays the same: a random one would let no attempt count."""
    monkeypatch.setattr(granted_files, "MOST_FILES", 1)
    found = [dict(granted_files.digests([models], FileDigests().of)) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][f"readable {models}"] == "more than 1 files"


def test_what_is_no_file_or_cannot_be_read_costs_no_job(models: Path) -> None:
    """A link to nothing, to itself, to a folder, a pipe, a file of others."""
    (models / "nothing").symlink_to("nowhere")
    (models / "itself").symlink_to("itself")
    (models / "back").symlink_to(models)
    os.mkfifo(models / "pipe")

    def digest(path: Path) -> str:
        if path.name == "a.bin":
            raise PermissionError(13, "Permission denied")
        return "digest"

    found = {name.rpartition("/")[2]: text for name, text in granted_files.digests([models], digest)}
    assert found == {
        "a.bin": "not readable",
        "back": f"link to {models}",
        "b.bin": "digest",
        "itself": "not a file",
        "nothing": "not a file",
        "pipe": "not a file",
    }


def test_a_model_that_changes_during_an_attempt_lets_it_count_for_nothing(tmp_path: Path) -> None:
    """Nobody can say which of the two answered: the attempt is made again, and not counted."""
    site, model = Site(tmp_path), tmp_path / "model.bin"
    model.write_bytes(b"1")
    site.command_plugin("asks", SCRIPT.replace("WORK", f"echo 2 > {model}"))
    folder = site.folder / "plugins" / "asks"
    text = (folder / manifest.MANIFEST).read_text()
    (folder / manifest.MANIFEST).write_text(text.replace("command =", f'readable = ["{model}"]\ncommand ='))
    site.uses["asks"] = PluginUse(folder=folder, allow=PluginGrants(readable=(model,)))
    stage = RunStage(
        site.node, with_slots(1), lambda _: site.catalogue(NOT_ISOLATED), WarmWorkers(site.data_folder.work)
    )
    receipts = site.receive(1)
    site.complete()
    job = site.job("asks", receipts)

    def is_over() -> bool:
        stage.run_once()
        found = attempts.of_job(site.ledger.database, job.id)
        return bool(found) and found[-1].ended_at is not None

    until(is_over, 60, "the end of the attempt")
    (first,) = attempts.of_job(site.ledger.database, job.id)
    assert (first.failure, first.counted) == (AttemptFailureKind.CHANGED, False)
    assert f"(readable {model})" in str(site.get(job).error)
    assert site.get(job).status is JobStatus.QUEUED
    stage._stop(0)
