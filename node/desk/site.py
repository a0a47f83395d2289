"""What people work on: a site's configuration, what its node uses, and its ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from node import wake_socket
from node.config import in_force
from node.config.in_force import InForce
from node.config.models import Configuration
from node.config.problems import ConfigurationError, Problem
from node.errors import UsageError
from node.ledger.database import FILE, Ledger
from node.serve.listening import LISTENING
from rules.model import rule_set_digest

if TYPE_CHECKING:
    from node.config.loading import LoadedConfiguration

DEFAULT_CONFIG = Path("config.yaml")


def read(config: Path) -> LoadedConfiguration:
    """The configuration, and what it was read from; ConfigurationError."""
    from node.config import loading  # YAML, which takes a while: most of the time what is in force says it all

    if config == DEFAULT_CONFIG and not config.exists():
        raise UsageError("there is no config.yaml in this folder; name the configuration with --config PATH")
    return loading.read(config)


def load(config: Path) -> Configuration:
    """The configuration; ConfigurationError."""
    return read(config).configuration


@dataclass(frozen=True)
class PluginsConfiguration:
    """A configuration for whoever looks at plugins."""

    configuration: Configuration
    problems: Sequence[Problem] = ()
    """What is wrong with single plugins: a node would refuse the file."""

    def problems_of(self, plugin: str) -> list[Problem]:
        """What is wrong with one."""
        from node.config.plugins import folded  # with NumPy, for manifests

        return [each for each in self.problems if folded(each.plugin) == folded(plugin)]


def load_for_plugins(config: Path) -> PluginsConfiguration:
    """The configuration, also where single plugins cannot be used; ConfigurationError where more is wrong."""
    from node.config.loading import PluginProblemsError

    try:
        return PluginsConfiguration(load(config))
    except PluginProblemsError as error:
        return PluginsConfiguration(error.configuration, error.problems)


@dataclass(frozen=True)
class SiteConfiguration:
    """What a configuration file says, and what the node uses."""

    configuration: Configuration
    """The one in force; the file's own where nothing is known of any other."""
    running: InForce | None
    headlines: Sequence[str] = ()
    """What is wrong with the file."""
    needs_restart: Sequence[str] = ()
    """Sections in which the file differs, and that are not taken up while the node runs."""
    pending: bool = False
    """The file is right, and not what is in force."""


def standing(config: Path) -> SiteConfiguration:
    """How file and node stand to each other; ConfigurationError where the file is wrong and nothing is in force."""
    last = in_force.find(config)
    if last is not None and in_force.stands_in_file(last):
        return SiteConfiguration(last.configuration, last if _runs(last) else None)
    try:
        loaded = read(config)
    except ConfigurationError as problem:
        if last is None:
            raise
        return SiteConfiguration(last.configuration, last, [each.headline for each in problem.problems])
    if last is None or not _runs(last):
        return SiteConfiguration(loaded.configuration, None)
    now, wanted = last.configuration, loaded.configuration
    changed = set(in_force.changed(last, last.taking_up(loaded))) - {"certificates"}  # who asks may not read the key
    pending = bool(changed) or rule_set_digest(now.rules) != rule_set_digest(wanted.rules)
    return SiteConfiguration(now, last, (), in_force.needing_restart(now, wanted), pending)


def _runs(last: InForce) -> bool:
    return running(last.configuration.node.data) is not None


@dataclass(frozen=True)
class LedgerConfiguration:
    """A configuration to find the ledger by."""

    configuration: Configuration
    headline: str | None = None
    """What is wrong with the file, where the configuration is the one in force instead."""


def known(config: Path) -> LedgerConfiguration:
    """The configuration, or the one in force where the file has problems: to read the ledger.

    A slip in the file must not hide what the node is doing. ConfigurationError where nothing is in force.
    """
    last = in_force.find(config)
    if last is not None and in_force.stands_in_file(last):
        return LedgerConfiguration(last.configuration)
    try:
        return LedgerConfiguration(load(config))
    except ConfigurationError as problem:
        if last is None:
            raise
        return LedgerConfiguration(last.configuration, problem.problems[0].headline)


def open_ledger(configuration: Configuration) -> Ledger:
    """The ledger of the site, which has to be there: NotFoundError, LedgerError. What is written wakes the node."""
    data = configuration.node.data
    return Ledger.existing(data / FILE, partial(wake_socket.ring, data))


def running(data: Path) -> Mapping[str, Any] | None:
    """What the node that runs on this data folder says of itself; None where none does."""
    try:
        said: Mapping[str, Any] = json.loads((data / LISTENING).read_text())
        return said if psutil.pid_exists(int(said["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):  # no file, or not one that a node wrote
        return None
