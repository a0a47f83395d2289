"""Taking up a changed configuration while the node runs: a saved file is checked as a whole, then swapped, or refused.

The files are looked at every second, those of TLS among them. One that has come to rest and says something new is
read, checked and tested like at the start; only then is it taken up, as a whole (`node.app.process.App.take_up`).
A bad file changes nothing but is reported: in the log, as an alert (once for each content), in `status`. The little
that waits for a restart is reported too.
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import json
import pwd
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from node.clock import to_text
from node.config import in_force, loading
from node.config.digests import digest_at
from node.config.in_force import InForce
from node.config.loading import LoadedConfiguration
from node.config.problems import ConfigurationError
from node.config.sections import Party
from node.errors import PermanentError
from node.items import defect_of
from node.ledger import configurations, decisions, file_versions, rule_versions
from node.ledger.rule_versions import Version
from node.route.asking import RulesInForce
from node.run import catalogue
from node.run.catalogue import Catalogue, Catalogues, SitePlugin
from node.stage import Node, NodeStage
from rules.model import Rule, rule_set_digest

LOOK_SECONDS = 1.0
_CLOCK_TICK = 20_000_000
"""Nanoseconds by which the time of a file may lag behind the clock."""
_MOST_TOLD = 10
_MOST_DIFF = 200
log = structlog.get_logger(__name__)

Signature = tuple[tuple[str, int, int, int], ...]


class NotInForceError(PermanentError):
    """Right in itself, but not beside what runs."""


TakeUp = Callable[[InForce, frozenset[Party]], None]
"""Puts a configuration in force, with all these parties using it. Raises NotInForceError or OSError where nothing has
changed (`node.app.process.App.take_up`).
"""


class Reload(NodeStage):
    """Watches the files of one configuration, and has a new one taken up."""

    def __init__(
        self,
        node: Node,
        running: InForce,
        catalogues: Catalogues,
        take_up: TakeUp,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`told` gets what came of each reload that was asked for: why it was refused, or nothing."""
        self.bell = threading.Event()
        self._ledger = node.ledger
        self._clock = node.clock
        self._running = running
        self._catalogues = catalogues
        self._take_up = take_up
        self._told = told
        self._refusal = ""
        self._files: set[Path] = {running.path}
        self._patterns: tuple[str, ...] = ()
        self._last: Signature = ()
        self._tried: Signature | None = None
        self._asked = False
        self._began = 0
        self._begin()

    def ask(self) -> None:
        """Look now, and say how it went even where nothing has changed (SIGHUP)."""
        self._asked = True
        self.bell.set()

    def run_once(self) -> float:
        """Look, and reload what has changed and come to rest; returns the seconds until the next look."""
        seen = self._signature()
        at_rest, self._last = seen == self._last, seen
        if self._asked or (at_rest and seen != self._tried):
            asked, self._asked, self._tried = self._asked, False, seen
            self._refusal = ""
            self._reload(asked)
            if asked:
                self._told(self._refusal)
        return LOOK_SECONDS

    def _signature(self) -> Signature:
        """What a look without reading tells of the files, of those too that the patterns match by now."""
        folder, found = self._running.folder, set(self._files)
        for pattern in self._patterns:
            found.update(folder / name for name in glob.glob(pattern, root_dir=folder, recursive=True))
        seen = []
        for path in sorted(found):
            try:
                known = path.stat()
            except OSError:
                continue
            seen.append((str(path), known.st_mtime_ns, known.st_size, known.st_ino))
        return tuple(seen)

    # --- what comes of it -------------------------------------------------------------------------

    def _begin(self) -> None:
        """The rules that the node starts with are a version like any other."""
        running = self._running
        before = rule_versions.last(self._ledger.database)
        if before is None or before.since != running.since:
            self._record(running.configuration.rules, before.digest if before else None, running.since, running.by)
        if running.change is not None:
            self._record_change(running)  # the node died when it had come into force

    def _reload(self, asked: bool) -> None:
        path = self._running.path
        self._began = time.time_ns() - _CLOCK_TICK
        try:
            loaded = loading.read(path)
            self._watch(loaded.files, loaded.patterns)
            wanted = self._running.taking_up(loaded)
            catalogue.check_usable(wanted.configuration, self._catalogues.of(wanted.configuration))
        except ConfigurationError as error:
            self._watch([*self._files, *(Path(each.place.file) for each in error.problems)], self._patterns)
            self._refuse([each.headline for each in error.problems], str(error.problems[0]), asked)
        except Exception as error:  # whatever a file does to its reader, the old rules stay in force
            log.exception("app.rules-reader-failed")
            self._refuse([f"{path}: it cannot be read: {defect_of(error)}"], "", asked)
        else:
            for problem in loaded.warnings:
                log.warning("app.rules-warning", problem=problem.headline)
            self._swap(wanted, loaded.files, asked)
            self._tell_restart(loaded)
        self._catalogues.keep_only(self._running.configuration)

    def _watch(self, files: Iterable[Path], patterns: Sequence[str]) -> None:
        # Not resolved: a link that is set to another file is a change; and so is a file that is gone and comes back.
        self._files = {self._running.path, *(path.absolute() for path in files if str(path))}
        self._patterns = tuple(patterns)
        self._last = seen = self._signature()
        # Saved again while it was being read: look once more. A time to come is from before the clock was set back.
        touched = any(self._began <= modified <= time.time_ns() for _, modified, _, _ in seen)
        self._tried = None if touched else seen

    def _swap(self, wanted: InForce, files: Sequence[Path], asked: bool) -> None:
        before, now, by = self._running, self._clock.now(), self._writer(files)
        changes = in_force.changed(before, wanted)
        old, new = (rule_set_digest(each.configuration.rules) for each in (before, wanted))
        one, other = (_used(self._catalogues.of(each.configuration)) for each in (before, wanted))
        same = old == new and one == other
        told = same and configurations.refusal(self._ledger.database, str(self._running.path)) is None
        if told and not changes:
            log.info("app.rules-unchanged", version=old[:8])
            return
        if not told:
            wanted = replace(wanted, since=now, by=by)
        if changes:
            wanted = replace(wanted, change={"since": to_text(now), "by": by, "changed": changes})
        parties = in_force.taken_up_by(before, wanted) | (frozenset() if same else {Party.NODE})
        try:
            self._take_up(wanted, parties)
        except (NotInForceError, OSError) as error:
            self._refuse([str(error)], str(error), asked)
            return
        self._running = wanted
        if changes:
            self._record_change(wanted)
        if not told:
            self._record(wanted.configuration.rules, old, now, by)

    def _writer(self, files: Sequence[Path]) -> str:
        """Who changed the newest file: whoever wrote this text in the console, else its owner."""
        newest = max((path for path in files if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
        known = file_versions.writer(self._ledger.database, str(newest.resolve()), digest_at(newest))
        return known or _owner(newest)

    def _record_change(self, running: InForce) -> None:
        """What but rules and plugins is in force from now on."""
        change = dict(running.change or {})
        with self._ledger.transaction() as database:
            new = configurations.changed(database, self._clock.now(), change)
        if new:
            log.info("app.configuration-in-force", changed=change["changed"], by=change["by"])

    def _record(self, rules: Sequence[Rule], before: str | None, since: datetime, by: str) -> None:
        kept = RulesInForce.of(rules)
        old = decisions.rule_set(self._ledger.database, before) if before else None
        change = _difference(json.loads(old or "[]"), json.loads(kept.content))
        names = {key: change[key] for key in ("added", "removed", "changed")}
        with self._ledger.transaction() as database:
            decisions.keep_rule_set(database, since, kept.digest, kept.content)
            version = Version(kept.digest, since, by, len(kept.rules), **names)
            rule_versions.came_into_force(database, self._clock.now(), version, before, change["diff"])
            configurations.accepted(database, str(self._running.path))
        log.info("app.rules-in-force", version=kept.digest[:8], previous=before and before[:8], by=by, **names)

    def _refuse(self, headlines: Sequence[str], shown: str, asked: bool) -> None:
        """Once for each content: an alert that comes back with every look is soon read by nobody."""
        content = _digest(headlines)
        self._refusal = headlines[0]
        file = str(self._running.path)
        known = configurations.refusal(self._ledger.database, file) == content
        if not known or asked:
            log.error("app.rules-refused", problems=list(headlines[:_MOST_TOLD]), in_force="the rules as they were")
        if known:
            return
        with self._ledger.transaction() as database:
            configurations.refused(
                database,
                self._clock.now(),
                file,
                content,
                problems=list(headlines[:_MOST_TOLD]),
                count=len(headlines),
                shown=shown,
                in_force=rule_set_digest(self._running.configuration.rules),
            )

    def _tell_restart(self, loaded: LoadedConfiguration) -> None:
        sections = in_force.needing_restart(self._running.configuration, loaded.configuration)
        if not sections:
            return
        content = _digest([*sections, json.dumps(loaded.value.get("node"))])
        with self._ledger.transaction() as database:
            new = configurations.needs_restart(database, self._clock.now(), sections, content)
        if new:
            log.warning("app.configuration-needs-restart", changed=sections)


def _digest(parts: Sequence[str]) -> str:
    """To recognise what was reported before."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _used(plugins: Catalogue) -> dict[str, Any]:
    """All that a plugin is run by; its executor is made of the rest."""
    names = [each.name for each in fields(SitePlugin) if each.name != "executor"]
    return {name: [getattr(plugin, each) for each in names] for name, plugin in plugins.plugins.items()}


def _owner(path: Path) -> str:
    """Whose a file is: an editor that replaces what it saves leaves the writer's name on it."""
    owner = path.stat().st_uid
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:  # a user id without a name, as in containers
        name = f"uid {owner}"
    return f"{name} (owner of {path.name})"


def _difference(old: Sequence[Any], new: Sequence[Any]) -> dict[str, Any]:
    """Names of the rules that came, went and changed, and of these a unified diff of the text."""
    before, after = ({rule["name"]: rule for rule in each} for each in (old, new))
    changed = [name for name in after if name in before and after[name] != before[name]]
    diff = [
        line
        for name in changed
        for line in difflib.unified_diff(_text(before[name]), _text(after[name]), name, name, lineterm="", n=2)
    ]
    return {
        "added": [name for name in after if name not in before],
        "removed": [name for name in before if name not in after],
        "changed": changed,
        "diff": "\n".join([*diff[:_MOST_DIFF], *(["…"] if len(diff) > _MOST_DIFF else [])]),
    }


def _text(rule: Any) -> list[str]:
    """A rule line by line, one key a line, as a diff wants them."""
    lines: list[str] = []

    def write(value: Any, depth: int) -> None:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            name = "-" if isinstance(key, int) else f"{key}:"
            if isinstance(each, dict | list) and each:
                lines.append(f"{'  ' * depth}{name}")
                write(each, depth + 1)
            else:
                lines.append(f"{'  ' * depth}{name} {each}")

    write(rule, 0)
    return lines
