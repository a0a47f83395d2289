"""A container's shell on a job's folder, without a ledger: as `node.run.attempt` lays it out, and what came of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node.run import process
from node.run.executor import AttemptLimits, Exit, ProcessWatch
from node.run.kinds import container
from node.run.sandbox import Isolation
from node.run.workers import WarmWorkers
from plugins import exchange, manifest
from plugins.exchange import InputFile, InputSeries, PluginReference, Request, RequestFacts
from plugins.exchanges import ExchangeForm
from tests.support.programs.podman import PodmanStore
from tests.support.sites.job_site import MANIFEST, NOT_ISOLATED

LIMITS = AttemptLimits(deadline_seconds=100, memory_bytes=400 * 2**20, loading_seconds=60)


@dataclass(frozen=True)
class EndedContainer:
    """What came of a job."""

    ended: Exit
    log: str
    out: Path


@dataclass
class ContainerRoom:
    """Jobs of images."""

    folder: Path
    podman: PodmanStore
    isolation: Isolation = NOT_ISOLATED
    _jobs: int = field(default=0)

    @property
    def work(self) -> Path:
        """`work/` of a node."""
        return self.folder / "data" / "work"

    def job(
        self,
        image: str,
        *command: str,
        begun: Callable[[], None] = lambda: None,
        cancel: threading.Event | None = None,
        limits: dict[str, Any] | None = None,
        **keys: Any,
    ) -> EndedContainer:
        """Run a job on two images of one series; `keys`: of `[runtime]`."""
        self._jobs += 1
        home, folder = self.folder / f"plugin-{self._jobs}", self.work / f"job-{self._jobs}" / "1"
        _lay_out(folder, home)
        lines = {"kind": "container", "image": image, "command": list(command), **keys}
        text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
        written = MANIFEST.format(name="shell", identity="full", runtime=text)
        if not ExchangeForm(keys.get("exchange", ExchangeForm.PACSNODE)).reads_parameters:
            written = written.partition("[parameters")[0]
        (home / "plugin.toml").write_text(written)
        loaded = manifest.load(home)
        isolation = container.confinement(loaded, self.isolation)
        watch = ProcessWatch(cancel or threading.Event(), lambda _: begun(), WarmWorkers(self.work))
        executor = container.executor(loaded, self.work, isolation)
        ended = executor.execute(folder, replace(LIMITS, **(limits or {})), watch)
        return EndedContainer(ended, (folder / process.LOG).read_text(errors="replace"), folder / exchange.OUT)

    def shell(self, script: str, **more: Any) -> EndedContainer:
        """A job whose container runs this line in its shell."""
        return self.job(self.podman.shell, "-c", script, **more)


def _lay_out(folder: Path, home: Path) -> None:
    (folder / exchange.IN / "s01").mkdir(parents=True)
    home.mkdir()
    files = []
    for number in (1, 2):
        name = f"s01/{number:05}.dcm"
        (folder / exchange.IN / name).write_text(f"image {number}")
        files.append(InputFile(name, f"1.2.3.{number}"))
    request = Request(
        "job",
        PluginReference("shell", "1", str(home)),
        RequestFacts("1.2"),
        (InputSeries("1.2.3", "CT", tuple(files)),),
        {"level": 5},
    )
    exchange.write_request(folder, request)
