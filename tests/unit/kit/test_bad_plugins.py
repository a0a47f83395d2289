"""The kit says of a bad plugin what the node says: eighty of them, in one node and in one run of the kit."""

from __future__ import annotations

import faulthandler
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.config.models import PluginUse
from node.kit.small_node import PluginTask, kit_configuration, small_node
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run import catalogue
from node.run.catalogue import Catalogue, SitePlugin
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from plugins import stack_signal, worker
from tests.support.images.receipts import ct, encoded
from tests.support.sites.bad_plugins import CLASS, MANIFEST, TABLE, BadPlugin
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, STUDY, Site
from tests.support.wait import until

SERIES = f"{STUDY}.1"
_one_at_a_time = threading.Lock()


class _InThisProcess:
    """What the worker, or a program that writes a document, leaves: a process for each would tell nothing more."""

    def __init__(self, document: str) -> None:
        self._document = document

    def execute(self, folder: Path, limits: AttemptLimits, watch: ProcessWatch) -> Exit:
        watch.begun("")
        if self._document:
            (folder / "out" / "result.json").write_text(self._document)
            return Exit(ExitKind.EXITED, 0)
        with _one_at_a_time:
            return Exit(ExitKind.EXITED, worker.main([str(folder)]))


def written(bad: BadPlugin, folder: Path, module: str) -> Path:
    """The plugin's folder; each has a module of its own, since all run in one process."""
    folder.mkdir(parents=True)
    is_program = bool(bad.script or bad.document)
    kind = (
        'kind = "command"\ncommand = ["program", "{folder}"]'
        if is_program
        else f'kind = "python"\nentry = "{module}:Plugin"'
    )
    (folder / "plugin.toml").write_text(MANIFEST.replace("{runtime}", kind).replace("{deadline}", str(bad.deadline)))
    if is_program:
        (folder / "program").write_text(f"#!/bin/sh\n{bad.script}\n")
        (folder / "program").chmod(0o755)
    else:
        (folder / f"{module}.py").write_text(bad.code or CLASS.replace("{body}", bad.body))
    return folder


def quick(plugin: SitePlugin, bad: BadPlugin) -> SitePlugin:
    """The plugin without a process, unless its process is what is bad about it."""
    return (
        plugin if bad.script or bad.own_process else replace(plugin, executor=_InThisProcess(bad.document), attempts=1)
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("bad")
    numbers = itertools.count()
    return {bad.name: written(bad, base / f"{n}", f"bad_{n}") for bad, n in zip(TABLE, numbers, strict=False)}


def slice_of(number: int) -> Dataset:
    """With the UIDs that `Site.receive` gives its instances."""
    return ct(number, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=f"{SERIES}.{number}")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    for number in (1, 2):
        dataset = slice_of(number)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module", autouse=True)
def _no_handler_of_crashes() -> Iterator[None]:
    """The worker's own would take the place of this process's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faulthandler, "enable", lambda: None)
        patch.setattr(stack_signal, "enable", lambda: None)
        yield


@pytest.fixture(scope="module")
def by_the_node(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Job]]:
    """All of them as jobs of one site."""
    site = Site(tmp_path_factory.mktemp("site"))
    receipts = site.receive(2, contents=lambda number: encoded(slice_of(number)), Rows=("US", 64), Columns=("US", 64))
    site.complete()
    uses = {bad.name: PluginUse(folder=folders[bad.name], attempts=1) for bad in TABLE}
    known = catalogue.load(uses, site.data_folder.data, NOT_ISOLATED)
    plugins = Catalogue({bad.name: quick(known.find(bad.name), bad) for bad in TABLE})
    stage = RunStage(site.node, with_slots(2), lambda _: plugins, WarmWorkers(site.data_folder.work))
    jobs = {bad.name: site.job(bad.name, receipts) for bad in TABLE}

    def over() -> bool:
        stage.run_once()
        return all(site.get(job).status is JobStatus.ENDED for job in jobs.values())

    until(over, 240, "the end of all jobs")
    stage.close()
    yield {name: site.get(job) for name, job in jobs.items()}
    site.ledger.close()


@pytest.fixture(scope="module")
def by_the_kit(folders: dict[str, Path], images: list[Path]) -> dict[str, Job]:
    """All of them one after the other, as `plugin run` does it."""
    uses = {bad.name: PluginUse(folder=folders[bad.name]) for bad in TABLE}
    with small_node(kit_configuration()) as node:
        received = node.receive(images)
        known = catalogue.load(uses, node.node.store.data, NOT_ISOLATED)
        return {bad.name: node.run(PluginTask(quick(known.find(bad.name), bad), received)) for bad in TABLE}


def without_numbers(error: str | None) -> str:
    """Seconds and memory differ from run to run."""
    return str(error).partition(", after ")[0]


def test_the_table_has_eighty_plugins() -> None:
    """No two of one name."""
    assert len({bad.name for bad in TABLE}) == len(TABLE) >= 80


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_the_kit_and_the_node_say_the_same_of_a_bad_plugin(
    bad: BadPlugin, by_the_node: dict[str, Job], by_the_kit: dict[str, Job]
) -> None:
    """Both fail it, for the reason that is in the table, in the same words."""
    node, kit = by_the_node[bad.name], by_the_kit[bad.name]
    assert (node.outcome, kit.outcome) == (JobOutcome.FAILED, JobOutcome.FAILED)
    assert bad.says in str(node.error)
    assert without_numbers(kit.error) == without_numbers(node.error)
