"""One answer, and where in the configuration it can be changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node.config import rulefiles, source
from node.config.problems import printable
from node.config.source import Document, YamlPath


class SecuritySeverity(StrEnum):
    """How much it matters."""

    GOOD = "good"
    NOTE = "note"
    """To be known; often meant."""
    WARNING = "warning"
    """Somebody on the network or on this machine could learn or do what is not theirs."""
    CRITICAL = "critical"
    """Anybody could, without any further step."""


@dataclass(frozen=True, slots=True)
class SecurityRow:
    """What was looked at, and what to change."""

    topic: str
    severity: SecuritySeverity
    said: str
    where: str = ""
    """`config.yaml:12`; empty where nothing in the configuration says so."""
    key: str = ""
    """As in node.accept."""
    change: str = ""
    """What to write there, or to do; empty where nothing has to be done."""


class SecurityDocument:
    """The configuration as it is written, for rows that name its lines."""

    def __init__(self, path: Path) -> None:
        """Read it, with its files of rules; ConfigurationError."""
        self._document: Document = source.read(path)
        rulefiles.expand(self._document, path.parent)

    def row(self, topic: str, severity: SecuritySeverity, said: str, path: YamlPath, change: str = "") -> SecurityRow:
        """A row at a key, or at what is nearest to it where the key is not written."""
        place = self._document.place(path, key=True)
        where = f"{place.file}:{place.line}" if place.line else place.file
        return SecurityRow(topic, severity, printable(said), where, self._document.name(path), change)
