"""A Python plugin and its workers, without a ledger: jobs are folders, as `node.run.attempt` lays them out."""

from __future__ import annotations

import json
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from node.run import process
from node.run.digests import CodeDigests
from node.run.executor import AttemptLimits, Exit, ProcessWatch
from node.run.kinds import python
from node.run.sandbox import Isolation
from node.run.workers import WarmWorkers
from plugins import bundle, exchange, manifest
from plugins.exchange import InputFile, InputSeries, PluginReference, Request, RequestFacts
from tests.support.sites.job_site import MANIFEST

LIMITS = AttemptLimits(
    deadline_seconds=60, memory_bytes=400 * 2**20, loading_seconds=60, worker_jobs=100, worker_idle_seconds=900
)
_PLUGIN = """
import ctypes, json, locale, mmap, os, random, signal, subprocess, sys, tempfile, threading, time, warnings
from pathlib import Path
import numpy as np
from plugins.contract import *
made = 0
{begin}
class Plugin:
    def __init__(self):
        global made
        made += 1
{init}
    def analyse(self, study, parameters):
        image = study.series[0].files[0]
        letter = image.read_text()
        out = study.scratch.parent / "out"
        said = {{}}
{body}
        (out / "said.json").write_text(json.dumps(said))
        return Result(ResultStatus.NOT_APPLICABLE, f"{{len(study.series)}} series; {{json.dumps(said)}}"[:1000])
"""


@dataclass(frozen=True)
class DoneJob:
    """What came of a job."""

    ended: Exit
    worker: str
    result: bytes
    """result.json; empty where there is none."""
    log: str
    folder: Path

    @property
    def said(self) -> Any:
        """What the plugin put into `said`."""
        return json.loads((self.folder / exchange.OUT / "said.json").read_bytes())


class WarmRoom:
    """Jobs of one plugin."""

    def __init__(self, folder: Path, isolation: Isolation) -> None:
        self.work = folder / "data" / "work"
        self.work.mkdir(parents=True)
        bundle.write(self.work / python.BUNDLE)
        self.home = folder / "plugin"
        self.home.mkdir()
        self.isolation = isolation
        self.seconds = 0.0
        """The time that idle workers go by."""
        self.workers = WarmWorkers(self.work, lambda: self.seconds)
        self._jobs = 0

    def plugin(self, body: str, init: str = "pass", begin: str = "") -> None:
        """Write the plugin: what `analyse`, `__init__` and its module do."""
        (self.home / "plugin.toml").write_text(
            MANIFEST.format(name="warm", identity="full", runtime='kind = "python"\nentry = "the_plugin:Plugin"')
        )
        parts = {"body": body, "init": init}
        indented = {name: textwrap.indent(textwrap.dedent(text), " " * 8) for name, text in parts.items()}
        (self.home / "the_plugin.py").write_text(_PLUGIN.format(begin=textwrap.dedent(begin), **indented))

    def job(
        self,
        letter: str = "A",
        begun: Callable[[], None] = lambda: None,
        cancel: threading.Event | None = None,
        **limits: Any,
    ) -> DoneJob:
        """Run a job whose only image holds a letter."""
        self._jobs += 1
        folder = self.work / f"job-{self._jobs}" / "1"
        (folder / exchange.IN).mkdir(parents=True)
        (folder / exchange.IN / "1.dcm").write_text(letter)
        loaded = manifest.load(self.home)
        named = PluginReference("warm", "1", str(self.home), loaded.runtime.entry)
        series = InputSeries("1.2", "CT", (InputFile("1.dcm", "1.2.3"),))
        exchange.write_request(folder, Request("job", named, RequestFacts("1"), (series,)))
        names: list[str] = []

        def named_as(handle: str) -> None:
            names.append(handle)
            begun()

        watch = ProcessWatch(cancel or threading.Event(), named_as, self.workers, CodeDigests().of(loaded).whole)
        executor = python.executor(loaded, self.work, self.isolation)
        ended = executor.execute(folder, replace(LIMITS, **limits), watch)
        result = folder / exchange.OUT / exchange.RESULT
        return DoneJob(
            ended,
            names[-1],
            result.read_bytes() if result.exists() else b"",
            (folder / process.LOG).read_text(errors="replace"),
            folder,
        )

    def processes(self) -> list[int]:
        """All that were started on its work folder and live."""
        found = []
        for each in psutil.process_iter():
            try:
                if str(self.work) in " ".join(each.cmdline()):
                    found.append(each.pid)
            except psutil.Error:
                continue
        return found
