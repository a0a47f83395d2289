"""The versions of the rules that were in force, what one said, and how two differ."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.config.rule_text import rule_text
from node.ledger import rule_versions
from node.ledger.database import Ledger
from node.ledger.rule_versions import Version


@dataclass(frozen=True, slots=True)
class RuleSetVersion:
    """What one version says."""

    digest: str
    rules: Sequence[Mapping[str, Any]]

    def text(self) -> str:
        """A file of rules that brings it back."""
        return f"# version {self.digest}\n{rule_text(self.rules)}"


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """How two versions differ."""

    one: str
    other: str
    """Their digests."""
    lines: Sequence[str]
    """Unified diffs of the rules that came, went and changed, as they would be written."""


def versions(ledger: Ledger) -> Sequence[Version]:
    """Every version that was in force, the newest first."""
    with ledger.reading() as database:
        return rule_versions.every(database)


def kept(ledger: Ledger, name: str) -> RuleSetVersion:
    """The version whose digest begins so; NotFoundError."""
    with ledger.reading() as database:
        digest, content = rule_versions.named(database, name)
    return RuleSetVersion(digest, json.loads(content))


def difference(ledger: Ledger, one: str, other: str) -> VersionDifference:
    """What the second changed of the first; NotFoundError."""
    old, new = kept(ledger, one), kept(ledger, other)
    before, after = ({rule["name"]: rule for rule in each.rules} for each in (old, new))
    lines = [
        line
        for name in {**before, **after}
        for line in difflib.unified_diff(
            _lines(before.get(name)),
            _lines(after.get(name)),
            f"{name} {old.digest[:8]}",
            f"{name} {new.digest[:8]}",
            lineterm="",
        )
    ]
    return VersionDifference(old.digest, new.digest, lines)


def _lines(rule: Mapping[str, Any] | None) -> list[str]:
    return rule_text([rule]).splitlines()[1:] if rule else []
