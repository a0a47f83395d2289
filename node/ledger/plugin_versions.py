"""Versions of plugins that ran here, with what each said of itself; they stay when the plugin is gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger.connection import Database
from node.ledger.plugin_names import key_of, sql_key
from node.ledger.rows import one, query, to_json


@dataclass(frozen=True, slots=True)
class PluginVersion:
    """A version as it is when it runs."""

    plugin: str
    version: str
    algorithm: Mapping[str, Any]
    """Its identity, with the digest of what the vendor gave (`software_digest`)."""
    about: Mapping[str, str]
    """What its manifest says beside: clearance, training data, known limits."""
    allowed_by: str
    """Who allowed it, as the site states it; empty where it does not."""

    @property
    def digest(self) -> str:
        """SHA-256 of what the vendor gave; empty where it is not known."""
        return str(self.algorithm.get("software_digest") or "")


@dataclass(frozen=True, slots=True)
class PluginVersionRecord:
    """One row of `plugin_versions`, with its jobs."""

    plugin: str
    """In the form of `plugin_names.key_of`."""
    version: str
    digest: str
    algorithm: Mapping[str, Any]
    about: Mapping[str, str]
    since: datetime
    """When it first ran."""
    allowed_by: str
    jobs: int
    """That it answered, or failed at."""
    failures: int


def ran(database: Database, at: datetime, version: PluginVersion) -> None:
    """It is about to run: kept the first time, and whenever the site or the vendor says something else of it."""
    key = [key_of(version.plugin), version.version, version.digest]
    said = [
        to_json(dict(version.algorithm)),
        to_json(dict(version.about)),
        version.allowed_by or _commissioner(database, version),
    ]
    known = one(
        database, "SELECT about, allowed_by FROM plugin_versions WHERE plugin=? AND version=? AND digest=?", key
    )
    if known is None:
        database.execute("INSERT INTO plugin_versions VALUES (?,?,?,?,?,?,?)", [*key, *said[:2], to_text(at), said[2]])
    elif (known["about"], known["allowed_by"]) != (said[1], said[2]):
        sql = "UPDATE plugin_versions SET about=?, allowed_by=? WHERE plugin=? AND version=? AND digest=?"
        database.execute(sql, [*said[1:], *key])


def every(database: Database) -> list[PluginVersionRecord]:
    """All of them by plugin, the newest first."""
    rows = query(
        database,
        "WITH last AS (SELECT job, max(number) AS number FROM attempts GROUP BY job),"  # noqa: S608 - our own text
        f" counted AS (SELECT {sql_key('jobs.plugin')} AS plugin, json_extract(algorithm, '$.version') AS version,"
        " coalesce(json_extract(algorithm, '$.software_digest'), '') AS digest, count(*) AS jobs,"
        " sum(outcome='failed') AS failures FROM jobs JOIN last ON last.job=jobs.id"
        " JOIN attempts ON attempts.job=jobs.id AND attempts.number=last.number"
        " WHERE outcome IS NOT NULL AND coalesce(failure, '')<>'stopped' GROUP BY 1, 2, 3)"
        " SELECT plugin_versions.*, coalesce(jobs, 0) AS jobs, coalesce(failures, 0) AS failures FROM plugin_versions"
        " LEFT JOIN counted USING (plugin, version, digest) ORDER BY plugin, since DESC",
    )
    return [
        PluginVersionRecord(
            **{
                **row,
                "algorithm": json.loads(row["algorithm"]),
                "about": json.loads(row["about"]),
                "since": from_text(row["since"]),
            }
        )
        for row in rows
    ]


def seen(database: Database, plugin: str) -> list[tuple[PluginVersion, datetime]]:
    """The versions of a plugin that ran here, and when each first did, the newest first; without counting jobs."""
    sql = "SELECT * FROM plugin_versions WHERE plugin=? ORDER BY since DESC"
    return [
        (
            PluginVersion(
                row["plugin"],
                row["version"],
                json.loads(row["algorithm"]),
                json.loads(row["about"]),
                row["allowed_by"],
            ),
            from_text(row["since"]),
        )
        for row in query(database, sql, [key_of(plugin)])
    ]


def names(database: Database) -> frozenset[tuple[str, str]]:
    """Plugin and version of all that ran here, the plugin in the form of `plugin_names.key_of`."""
    rows = query(database, "SELECT DISTINCT plugin, version FROM plugin_versions")
    return frozenset((row["plugin"], row["version"]) for row in rows)


def _commissioner(database: Database, version: PluginVersion) -> str:
    """Who had the examples run that it passed last, where a person did."""
    sql = f"SELECT by FROM commissionings WHERE {sql_key('plugin')}=? AND passed=1 ORDER BY id DESC LIMIT 1"  # noqa: S608 - our own text
    row = one(database, sql, [key_of(version.plugin)])
    return str(row["by"]) if row else ""
