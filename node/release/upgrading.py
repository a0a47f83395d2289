"""Going over from one release to another with the ledger of a node, and back where that fails.

Each step is written down before it begins (`node.store.upgrade_record`). So an upgrade that was killed is finished, or
gone back from, by whoever comes next: the next upgrade (`resume`), or the next start of the node (`recovering`). What
touches the ledger runs with the interpreter of the release that it is about, as the owner of the data folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from node.clock import SystemClock, to_text
from node.errors import NodeError, PermanentError, TransientError
from node.release.answering import answers
from node.release.node_control import NodeControl, as_owner
from node.release.releases import CURRENT, Release, Releases
from node.store import upgrade_record
from node.store.upgrade_record import UpgradeRecord, UpgradeStep

_STARTS_WITHIN = 120.0
"""Seconds in which a started node has to answer."""
_LOOK = 0.2


class UpgradeFailedError(PermanentError):
    """The release before is in use again, and serves; the text says why and what was done."""


@dataclass(frozen=True, slots=True)
class UpgradeSite:
    """One node, and where its releases are."""

    config: Path
    data: Path
    releases: Releases
    control: NodeControl
    by: str
    """Who upgrades, as an actor."""
    say: Callable[[str], None] = lambda _: None
    """Called with a line for each step."""


def upgrade(site: UpgradeSite, to: Release) -> UpgradeRecord:
    """Go over to an installed release; the record of it, with how long each step took.

    Raises UpgradeFailedError where it went back by itself, another `NodeError` where nothing was changed.
    """
    before = _current(site.releases)
    if before.version == to.version:
        raise PermanentError(f"release {to.version} is in use already")
    with site.releases.held(), upgrade_record.held(site.data):
        _check_none_open(site.data)
        site.say(f"{to.version} reads the configuration, and starts every plugin that is used")
        check(site, to)
        under_way = _Way(site, before, to, UpgradeStep.STOPPING)
        try:
            under_way.forth()
        except NodeError as error:
            under_way.back(str(error))
            raise UpgradeFailedError(under_way.record.outcome) from error
        return under_way.end(f"upgraded from {before.version} to {to.version}")


def roll_back(site: UpgradeSite, to: Release) -> UpgradeRecord:
    """Go back to the release before, some time after an upgrade; raises `NodeError`."""
    after = _current(site.releases)
    with site.releases.held(), upgrade_record.held(site.data):
        _check_none_open(site.data)
        under_way = _Way(site, to, after, UpgradeStep.GOING_BACK)
        under_way.back(f"{site.by} wants it", hold=True)
        return under_way.record


def resume(site: UpgradeSite) -> UpgradeRecord | None:
    """Go back from an upgrade that was cut short; None where none was."""
    record = upgrade_record.read(site.data)
    if record is None:
        return None
    with site.releases.held(), upgrade_record.held(site.data):
        before, after = site.releases.get(record.before), site.releases.get(record.after)
        under_way = _Way(site, before, after, UpgradeStep.GOING_BACK, record)
        under_way.back(record.reason or f"the upgrade was cut short while {record.step.replace('_', ' ')}")
        return under_way.record


def _current(releases: Releases) -> Release:
    found = releases.linked(CURRENT)
    if found is None:
        raise PermanentError(f"{releases.root}: no release is in use there; pacsnode bundle install makes one")
    return found


def _check_none_open(data: Path) -> None:
    record = upgrade_record.read(data)
    if record is not None:
        raise TransientError(
            f"the upgrade to {record.after} was cut short: `pacsnode upgrade --resume` or the next start of the node"
            " ends it"
        )


class _Way:
    """One upgrade, there and perhaps back."""

    def __init__(
        self, site: UpgradeSite, before: Release, after: Release, step: UpgradeStep, record: UpgradeRecord | None = None
    ) -> None:
        self._site, self._before, self._after = site, before, after
        began_at = to_text(SystemClock().now())
        self.record = record or UpgradeRecord(before.version, after.version, step, str(before.command), began_at)
        upgrade_record.make_folder(site.data)

    # --- the steps ---------------------------------------------------------------------------------

    def forth(self) -> None:
        """To the newer release. Raises `NodeError`."""
        with self._step(UpgradeStep.STOPPING, "the node stops; open associations end first"):
            self._site.control.stop()
        with self._step(UpgradeStep.COPYING, "the ledger is copied aside"):
            run_ledgers(self._site, self._before, "copy")
        with self._step(UpgradeStep.MIGRATING, f"{self._after.version} brings the ledger up to date"):
            run_ledgers(self._site, self._after, "migrate")
        with self._step(UpgradeStep.STARTING, f"{self._after.version} starts, and is checked"):
            self._site.releases.switch(self._after)
            self._start(self._after)

    def back(self, reason: str, *, hold: bool = False) -> None:
        """To the release before. Raises `NodeError` where that does not start either: the record stays open.

        `hold`: studies received since are held for a person, since their results may have been sent.
        """
        self.record = replace(self.record, reason=reason)
        with self._step(UpgradeStep.GOING_BACK, f"going back to {self._before.version}: {reason}"):
            self._site.control.stop()
            self._site.releases.switch(self._before)
            done = run_ledgers(self._site, self._before, "back", self._site.by, *(["hold"] if hold else []))
            self._start(self._before)
        self.end(f"gone back to {self._before.version} ({reason}); {done}")

    def end(self, outcome: str) -> UpgradeRecord:
        """Over, and written down."""
        self.record = upgrade_record.end(self._site.data, self.record, outcome)
        self._site.say(outcome)
        return self.record

    def _start(self, release: Release) -> None:
        self._site.control.start(release.command)
        end = time.monotonic() + _STARTS_WITHIN
        while (reason := answers(self._site.data)) is not None:
            if time.monotonic() > end:
                raise TransientError(f"{release.version} does not serve after {_STARTS_WITHIN:.0f} s: {reason}")
            time.sleep(_LOOK)
        run_as_owner(
            self._site, [str(release.command), "status", "--json", "--config", str(self._site.config)], "status"
        )

    @contextmanager
    def _step(self, step: UpgradeStep, sentence: str) -> Iterator[None]:
        """Written down first; timed."""
        self.record = upgrade_record.write(self._site.data, replace(self.record, step=step))
        self._site.say(sentence)
        began = time.monotonic()
        yield
        seconds = self.record.seconds | {step.value: round(time.monotonic() - began, 2)}
        self.record = replace(self.record, seconds=seconds)


def check(site: UpgradeSite, release: Release) -> None:
    """What a release says of the configuration, with every plugin that is used started once; PermanentError."""
    said = run_as_owner(
        site, [str(release.command), "check", "--json", "--config", str(site.config)], "", may_fail=True
    )
    try:
        found = json.loads(said)
    except ValueError:
        raise PermanentError(f"pacsnode {release.version} check failed: {said.strip()[-500:]}") from None
    if not found.get("ok"):
        problems = [f"{each['yaml_path']}: {each['message']}" for each in found["problems"]]
        raise PermanentError(f"release {release.version} refuses the configuration: {'; '.join(problems[:5])}")


def _command(site: UpgradeSite, release: Release, name: str) -> list[str]:
    return [str(release.command), name, "--json", "--config", str(site.config)]


def run_ledgers(site: UpgradeSite, release: Release, step: str, *more: str, data: Path | None = None) -> str:
    """A step of `node.release.ledgers` by the program of a release; what it printed. Raises PermanentError."""
    command = [str(release.python), "-P", "-m", "node.release.ledgers", step, str((data or site.data).resolve()), *more]
    return run_as_owner(site, command, f"{step} by {release.version}")


def run_as_owner(site: UpgradeSite, command: list[str], what: str, *, may_fail: bool = False) -> str:
    """Run a command as the owner of the data folder; what it printed. Raises PermanentError."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    owner = as_owner(site.data.stat())
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment, **owner)
    except OSError as error:
        raise PermanentError(f"{command[0]}: {error.strerror}") from error
    if done.returncode and not may_fail:
        raise PermanentError(f"{what} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return str(done.stdout or done.stderr)
