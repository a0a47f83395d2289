"""Taking up a changed configuration while the node runs: a saved file is checked as a whole, then swapped, or refused.

The files are looked at every second, those of TLS among them. One that has come to rest and says something new is
read, checked and tested like at the start; only then are the rules, and the plugins they run, replaced, between two
studies. Where it changes what receivers use, the supervisor is asked for others first (`node.receivers`): if they
do not start, nothing is taken up. A bad file changes nothing but is reported: in the log, as an alert (once for each
content), in `status`. The little that waits for a restart is reported too.
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
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from node.clock import Clock, to_text
from node.config import in_force, loading
from node.config.in_force import InForce
from node.config.loading import Loaded
from node.config.models import Configuration
from node.config.problems import ConfigurationError
from node.errors import PermanentError
from node.ledger import decisions, events
from node.ledger.database import Ledger
from node.ledger.events import Severity
from node.ledger.rule_versions import IN_FORCE
from node.route.asking import RuleSet
from node.run import catalogue
from node.run.catalogue import Catalogue
from rules.model import Rule, rule_set_digest

LOOK_SECONDS = 1.0
REFUSED = "rules.refused"
CHANGED, RESTART = "configuration.in-force", "configuration.needs-restart"
_CLOCK_TICK = 20_000_000
"""Nanoseconds by which the time of a file may lag behind the clock."""
_MOST_TOLD = 10
_MOST_DIFF = 200
log = structlog.get_logger(__name__)

Signature = tuple[tuple[str, int, int, int], ...]


class Use(Protocol):
    """What brings rules and plugins into force; must not raise."""

    def __call__(self, configuration: Configuration, plugins: Catalogue) -> None:
        """From the next study on, by these."""
        ...


class NotInForceError(PermanentError):
    """Right in itself, but not beside what runs."""


PutInForce = Callable[[InForce], None]
"""Makes a configuration the one in force, with receivers that use it; raises NotInForceError."""


def without_receivers(wanted: InForce) -> None:
    """Put in force where receivers need not be others, or nobody keeps any."""
    in_force.write(wanted)


class Reload:
    """Watches the files of one configuration, and swaps rules and plugins."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        running: InForce,
        plugins: Catalogue,
        use: Use,
        with_receivers: PutInForce = without_receivers,
    ) -> None:
        self.bell = threading.Event()
        self._ledger = ledger
        self._clock = clock
        self._running = running
        self._plugins = plugins
        self._use = use
        self._with_receivers = with_receivers
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
            self._reload(asked)
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
        before = events.latest_of(self._ledger.database, (IN_FORCE,))
        if before is None or before.detail["since"] != to_text(running.since):
            digest = before.detail["digest"] if before else None
            self._record(running.configuration.rules, digest, running.since, running.by)
        told = events.latest_of(self._ledger.database, (CHANGED,))
        if running.change is not None and (told is None or told.detail["since"] != running.change["since"]):
            self._record_change(running)  # the node died when it had come into force

    def _reload(self, asked: bool) -> None:
        path = self._running.path
        self._began = time.time_ns() - _CLOCK_TICK
        try:
            loaded = loading.read(path)
            self._watch(loaded.files, loaded.patterns)
            plugins = catalogue.usable(loaded.configuration)
        except ConfigurationError as error:
            self._watch([*self._files, *(Path(each.place.file) for each in error.problems)], self._patterns)
            self._refuse([each.headline for each in error.problems], str(error.problems[0]), asked)
        except Exception as error:  # whatever a file does to its reader, the old rules stay in force
            log.exception("app.rules-reader-failed")
            self._refuse([f"{path}: reading it failed: {type(error).__name__}; the log says where"], "", asked)
        else:
            for problem in loaded.warnings:
                log.warning("app.rules-warning", problem=problem.headline)
            self._swap(loaded, plugins, asked)
            self._tell_restart(loaded)

    def _watch(self, files: Iterable[Path], patterns: Sequence[str]) -> None:
        # Not resolved: a link that is set to another file is a change.
        self._files = {self._running.path, *(path.absolute() for path in files if str(path) and path.exists())}
        self._patterns = tuple(patterns)
        self._last = seen = self._signature()
        # Saved again while it was being read: look once more. A time to come is from before the clock was set back.
        touched = any(self._began <= modified <= time.time_ns() for _, modified, _, _ in seen)
        self._tried = None if touched else seen

    def _swap(self, loaded: Loaded, plugins: Catalogue, asked: bool) -> None:
        before, now, by = self._running, self._clock.now(), _owner(loaded.files)
        wanted = before.taking_up(loaded)
        changes = in_force.changed(before, wanted)
        old, new = (rule_set_digest(each.configuration.rules) for each in (before, wanted))
        same = old == new and _used(self._plugins) == _used(plugins)
        last = events.latest_of(self._ledger.database, (IN_FORCE, REFUSED))
        told = same and last is not None and last.kind == IN_FORCE
        if told and not changes:
            log.info("app.rules-unchanged", version=old[:8])
            return
        if not told:
            wanted = replace(wanted, since=now, by=by)
        if changes:
            wanted = replace(wanted, change={"since": to_text(now), "by": by, "changed": changes})
        put_in_force = self._with_receivers if in_force.concerns_receivers(before, wanted) else without_receivers
        try:
            put_in_force(wanted)
        except (NotInForceError, OSError) as error:
            self._refuse([str(error)], str(error), asked)
            return
        self._running, self._plugins = wanted, plugins
        if changes:
            self._record_change(wanted)
        if not told:
            self._record(wanted.configuration.rules, old, now, by)
        self._use(wanted.configuration, plugins)

    def _record_change(self, running: InForce) -> None:
        """What but rules and plugins is in force from now on."""
        change = dict(running.change or {})
        with self._ledger.transaction() as database:
            events.record(database, self._clock.now(), CHANGED, **change)
        log.info("app.configuration-in-force", changed=change["changed"], by=change["by"])

    def _record(self, rules: Sequence[Rule], before: str | None, since: datetime, by: str) -> None:
        kept = RuleSet.of(rules)
        old = decisions.rule_set(self._ledger.database, before) if before else None
        change = _difference(json.loads(old or "[]"), json.loads(kept.content))
        with self._ledger.transaction() as database:
            decisions.keep_rule_set(database, since, kept.digest, kept.content)
            events.record(
                database,
                self._clock.now(),
                IN_FORCE,
                digest=kept.digest,
                previous=before,
                since=to_text(since),
                by=by,
                rules=len(kept.rules),
                **change,
            )
        names = {key: change[key] for key in ("added", "removed", "changed")}
        log.info("app.rules-in-force", version=kept.digest[:8], previous=before and before[:8], by=by, **names)

    def _refuse(self, headlines: Sequence[str], shown: str, asked: bool) -> None:
        """Once for each content: an alert that comes back with every look is soon read by nobody."""
        content = _digest(headlines)
        last = events.latest_of(self._ledger.database, (IN_FORCE, REFUSED))
        known = last is not None and last.kind == REFUSED and last.detail["content"] == content
        if not known or asked:
            log.error("app.rules-refused", problems=list(headlines[:_MOST_TOLD]), in_force="the rules as they were")
        if known:
            return
        with self._ledger.transaction() as database:
            events.record(
                database,
                self._clock.now(),
                REFUSED,
                severity=Severity.ALERT,
                file=str(self._running.path),
                problems=list(headlines[:_MOST_TOLD]),
                count=len(headlines),
                shown=shown,
                content=content,
                in_force=rule_set_digest(self._running.configuration.rules),
            )

    def _tell_restart(self, loaded: Loaded) -> None:
        sections = in_force.needing_restart(self._running.configuration, loaded.configuration)
        if not sections:
            return
        content = _digest([*sections, json.dumps(loaded.value.get("node"))])
        last = events.latest_of(self._ledger.database, (RESTART,))
        if last is None or last.detail["content"] != content:
            log.warning("app.configuration-needs-restart", changed=sections)
            with self._ledger.transaction() as database:
                events.record(
                    database, self._clock.now(), RESTART, severity=Severity.WARNING, changed=sections, content=content
                )


def _digest(parts: Sequence[str]) -> str:
    """To recognise what was reported before."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _used(plugins: Catalogue) -> dict[str, Any]:
    """What a plugin is run by, as far as it can be compared."""
    return {
        name: (each.manifest, each.limits, each.at_once, each.attempts, dict(each.site_parameters))
        for name, each in plugins.plugins.items()
    }


def _owner(files: Sequence[Path]) -> str:
    """Whose the newest file is: an editor that replaces what it saves leaves the writer's name on it."""
    known = [(path.stat(), path) for path in files if path.is_file()]
    newest, path = max(known, key=lambda each: each[0].st_mtime_ns)
    try:
        name = pwd.getpwuid(newest.st_uid).pw_name
    except KeyError:  # a user id without a name, as in containers
        name = f"uid {newest.st_uid}"
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
