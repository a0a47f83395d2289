"""What commands need of the site: its configuration and, to read or to change, its ledger."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from node.cli import output
from node.config import in_force, loading
from node.config.in_force import InForce
from node.config.loading import Loaded
from node.config.models import Configuration
from node.config.problems import ConfigurationError
from node.errors import NotFoundError, UsageError
from node.ledger import studies
from node.ledger.database import FILE, Database, Ledger
from node.ledger.studies import Study
from node.serve.listening import LISTENING
from rules.model import rule_set_digest

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="PACSNODE_CONFIG", help="The configuration file.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
DEFAULT_CONFIG = Path("config.yaml")


def read(config: Path) -> Loaded:
    """The configuration, and what it was read from; ConfigurationError."""
    if config == DEFAULT_CONFIG and not config.exists():
        raise UsageError("there is no config.yaml in this folder; name the configuration with --config PATH")
    return loading.read(config)


def load(config: Path) -> Configuration:
    """The configuration; ConfigurationError."""
    return read(config).configuration


@dataclass(frozen=True)
class Standing:
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


def standing(config: Path) -> Standing:
    """How file and node stand to each other; ConfigurationError where the file is wrong and nothing is in force."""
    last = in_force.find(config)
    try:
        loaded = read(config)
    except ConfigurationError as problem:
        if last is None:
            raise
        return Standing(last.configuration, last, [each.headline for each in problem.problems])
    if last is None or running(last.configuration.node.data) is None:
        return Standing(loaded.configuration, None)
    now, wanted = last.configuration, loaded.configuration
    changed = set(in_force.changed(last, last.taking_up(loaded))) - {"certificates"}  # who asks may not read the key
    pending = bool(changed) or rule_set_digest(now.rules) != rule_set_digest(wanted.rules)
    return Standing(now, last, (), in_force.needing_restart(now, wanted), pending)


def known(config: Path) -> Configuration:
    """The configuration, or the one in force where the file has problems: for commands that read the ledger.

    A slip in the file must not hide what the node is doing. ConfigurationError where nothing is in force.
    """
    try:
        return load(config)
    except ConfigurationError as problem:
        running = in_force.find(config)
        if running is None:
            raise
        output.error(f"{problem.problems[0].headline}\nthe file has problems (pacsnode check); using what is in force")
        return running.configuration


def open_ledger(configuration: Configuration) -> Ledger:
    """The ledger of the site, which has to be there: NotFoundError, LedgerError."""
    return Ledger.existing(configuration.node.data / FILE)


def person() -> str:
    """Who types: the login name, behind sudo the one who called it; for the record."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"uid {os.getuid()}"


def find_study(database: Database, text: str) -> Study:
    """The study that `text` names: its UID, a unique beginning or end of it, or its accession number."""
    wanted = text.strip().removeprefix("…")
    found = studies.matching(database, wanted) if wanted else []
    if not found:
        raise NotFoundError(f'there is no study "{text}": neither as (part of) a UID nor as an accession number')
    if len(found) > 1:
        names = "\n".join(f"  {study.study_instance_uid}  accession {study.accession_number}" for study in found)
        raise UsageError(f'"{text}" names {len(found)} studies:\n{names}')
    return found[0]


def running(data: Path) -> Mapping[str, Any] | None:
    """What the node that runs on this data folder says of itself; None where none does."""
    try:
        said: Mapping[str, Any] = json.loads((data / LISTENING).read_text())
        return said if psutil.pid_exists(int(said["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):  # no file, or not one that a node wrote
        return None
