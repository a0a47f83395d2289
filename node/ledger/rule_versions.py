"""Versions of the rules: which were in force since when, brought by whom, and what each changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError
from node.ledger import decisions, events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query, to_json

_CHANGES = ("added", "removed", "changed")


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


def came_into_force(database: Database, at: datetime, version: Version, previous: str | None, diff: str) -> None:
    """It is in force from now on; `previous`: the digest of the version before it; `diff`: from its text."""
    changes: dict[str, Any] = {name: list(getattr(version, name)) for name in _CHANGES}
    database.execute(
        "INSERT INTO rule_versions (digest, since, by, rules, added, removed, changed) VALUES (?,?,?,?,?,?,?)",
        [version.digest, to_text(version.since), version.by, version.rules, *map(to_json, changes.values())],
    )
    events.record(
        database,
        at,
        EventKind.RULES_IN_FORCE,
        digest=version.digest,
        previous=previous,
        since=to_text(version.since),
        by=version.by,
        rules=version.rules,
        diff=diff,
        **changes,
    )


def every(database: Database) -> list[Version]:
    """All versions, newest first."""
    return [_version(row) for row in query(database, "SELECT * FROM rule_versions ORDER BY id DESC")]


def last(database: Database) -> Version | None:
    """The one in force; None before the first."""
    row = one(database, "SELECT * FROM rule_versions ORDER BY id DESC LIMIT 1")
    return _version(row) if row else None


def _version(row: dict[str, Any]) -> Version:
    changes: dict[str, Any] = {name: json.loads(row[name]) for name in _CHANGES}
    return Version(digest=row["digest"], since=from_text(row["since"]), by=row["by"], rules=row["rules"], **changes)


def named(database: Database, beginning: str) -> tuple[str, str]:
    """Digest and content of the one version whose digest begins so; NotFoundError where there is none, or several."""
    found = decisions.rule_sets(database, beginning.strip().lower())
    if len(found) == 1:
        return found[0], decisions.rule_set(database, found[0]) or "[]"
    if found:
        raise NotFoundError(f'"{beginning}" begins {len(found)} versions: {", ".join(each[:12] for each in found)}')
    raise NotFoundError(f'no version of the rules begins with "{beginning}"; `pacsnode rules` lists them')
