"""What commands take of the site: which configuration, and whether for people or for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli import output
from node.config.models import Configuration
from node.desk import site

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="PACSNODE_CONFIG", help="The configuration file.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
DEFAULT_CONFIG = site.DEFAULT_CONFIG


def known(config: Path) -> Configuration:
    """The configuration to find the ledger by (`desk.site.known`); says so where it is not the file's own."""
    found = site.known(config)
    if found.headline is not None:
        output.error(f"{found.headline}\nthe file has problems (pacsnode check); using what is in force")
    return found.configuration
