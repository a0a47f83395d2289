"""Whether plugins can start: each is imported and made in its confinement, without images, before a study needs it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from node.errors import PermanentError
from node.run.catalogue import SitePlugin
from node.run.digests import CodeDigests
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.inputs import reference
from node.run.kinds.python import BUNDLE
from node.run.kinds.registry import STARTERS
from node.run.workers import WarmWorkers
from plugins import bundle, exchange, untrusted
from plugins.exchange import Request, RequestFacts

DEADLINE_SECONDS = 120.0
"""To import and make a plugin; a model of many GB is loaded in less."""
_AT_ONCE = 2
_known: dict[tuple[str, str], str] = {}
"""Digest of what runs, and its confinement → what was found: the same command, or test, asks again."""


def problems(plugins: Iterable[SitePlugin]) -> dict[str, str]:
    """Name → why it cannot start, in one line, of those that cannot.

    Kinds that need images to start are left out, and what does not run at all for want of isolation.
    """
    tried = [each for each in plugins if each.manifest.runtime.kind in STARTERS and not each.isolation.refusal]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(_problem, tried))
    return {plugin.name: problem for plugin, problem in zip(tried, found, strict=True) if problem}


def _problem(plugin: SitePlugin) -> str:
    try:
        key = (CodeDigests().of(plugin.manifest).whole, repr(plugin.isolation))
        if key not in _known:
            with tempfile.TemporaryDirectory(prefix="pacsnode-") as folder:
                _known[key] = _try(plugin, Path(folder).resolve())
    except (OSError, PermanentError) as error:
        return str(error)
    return _known[key]


def _try(plugin: SitePlugin, data: Path) -> str:
    """What the process says that imports and makes it."""
    work = data / "work"
    folder = work / "start" / "1"
    folder.mkdir(parents=True)
    bundle.write(work / BUNDLE)
    exchange.write_request(folder, Request("start", reference(plugin), RequestFacts("1"), series=()))
    executor = STARTERS[plugin.manifest.runtime.kind](plugin.manifest, work, plugin.isolation)
    ended = executor.execute(
        folder, _limits(plugin), ProcessWatch(threading.Event(), lambda _: None, WarmWorkers(work))
    )
    with untrusted.open_folder(folder / exchange.OUT, exchange.OUT) as descriptor:
        said = untrusted.read_line(descriptor, exchange.ERROR)
    return "" if (ended.ending, ended.code) == (ExitKind.EXITED, 0) else said or _how(ended)


def _limits(plugin: SitePlugin) -> AttemptLimits:
    return replace(plugin.limits, deadline_seconds=DEADLINE_SECONDS, keep_free_bytes=0)


def _how(ended: Exit) -> str:
    told = f": {ended.detail}" if ended.detail else f" {ended.code}" if ended.code is not None else ""
    return f"its process ended while it was imported ({ended.ending}{told})"
