"""What commands need of the site: its configuration and, to read or to change, its ledger."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from node.config import loading
from node.config.models import Configuration
from node.errors import NotFoundError, PermanentError
from node.ledger import studies
from node.ledger.database import FILE, Database, Ledger
from node.ledger.studies import Study

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="PACSNODE_CONFIG", help="The configuration file.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for scripts.")]
DEFAULT_CONFIG = Path("config.yaml")


class UsageError(PermanentError):
    """What was asked for makes no sense here: the command ends with exit code 2."""


def load(config: Path) -> Configuration:
    """The configuration; ConfigurationError."""
    if config == DEFAULT_CONFIG and not config.exists():
        raise UsageError("there is no config.yaml in this folder; name the configuration with --config PATH")
    return loading.load(config)


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
