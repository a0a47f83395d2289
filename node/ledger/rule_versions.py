"""Versions of the rules: which were in force since when, brought by whom, and what each changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlite_utils import Database

from node.clock import from_text
from node.errors import NotFoundError
from node.ledger import decisions, events

IN_FORCE = "rules.in-force"
"""Kind of the event that a version came into force; `node.app.reload` records it."""


@dataclass(frozen=True, slots=True)
class Version:
    """That a version of the rules came into force; the same one may do so again."""

    digest: str
    since: datetime
    by: str
    rules: int
    """How many it has."""
    added: Sequence[str]
    removed: Sequence[str]
    changed: Sequence[str]
    """Against the version before it, by their names."""


def every(database: Database) -> list[Version]:
    """All versions, newest first."""
    return [
        Version(
            each.detail["digest"],
            from_text(each.detail["since"]),
            each.detail["by"],
            each.detail["rules"],
            each.detail["added"],
            each.detail["removed"],
            each.detail["changed"],
        )
        for each in events.of_kind(database, IN_FORCE)
    ]


def named(database: Database, beginning: str) -> tuple[str, str]:
    """Digest and content of the one version whose digest begins so; NotFoundError where there is none, or several."""
    found = decisions.rule_sets(database, beginning.strip().lower())
    if len(found) == 1:
        return found[0], decisions.rule_set(database, found[0]) or "[]"
    if found:
        raise NotFoundError(f'"{beginning}" begins {len(found)} versions: {", ".join(each[:12] for each in found)}')
    raise NotFoundError(f'no version of the rules begins with "{beginning}"; `pacsnode rules` lists them')
