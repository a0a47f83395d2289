"""All that a security officer asks, of one configuration and the machine that this runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from node.desk import site
from node.desk.security import file_rows, message_rows, network_rows, plugin_rows
from node.desk.security.row import SecurityDocument, SecurityRow


def rows(config: Path) -> Iterator[SecurityRow]:
    """One topic after the other; ConfigurationError where the file cannot be used."""
    loaded = site.read(config)
    document = SecurityDocument(config)
    yield from network_rows.rows(loaded.configuration, document)
    yield from plugin_rows.rows(loaded.configuration, document)
    yield from message_rows.rows(loaded.configuration, document)
    yield from file_rows.rows(loaded, document)
