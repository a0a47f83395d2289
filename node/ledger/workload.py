"""What a site sends, by the studies that came last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, tzinfo

from node.clock import from_text
from node.ledger.connection import Database

_STUDIES = 500
"""The last ones that are looked at."""
_FEWEST_A_DAY = 20
"""Studies of a day, with less of which its busiest hour says nothing."""


@dataclass(frozen=True, slots=True)
class SiteWorkload:
    """Means of the last studies whose images are here."""

    studies: int
    """How many were looked at."""
    images: float
    """A study."""
    image_bytes: float
    """An image."""
    peak_share: float | None
    """Of the studies of a day, how many came in its busiest hour, on average; None where no day has enough."""
    jobs: dict[str, float]
    """By plugin: jobs a study."""


def look(database: Database, zone: tzinfo) -> SiteWorkload | None:
    """Look; None where no study is here."""
    sql = "SELECT study_instance_uid, last_received_at FROM studies ORDER BY last_received_at DESC LIMIT ?"
    images = octets = studies = 0
    jobs: Counter[str] = Counter()
    moments = []
    for study, at in database.execute(sql, [_STUDIES]).fetchall():
        (n, size), *_ = database.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM instances"
            " WHERE study_instance_uid=? AND series_instance_uid IS NOT NULL AND status='current'",
            [study],
        ).fetchall()
        if not n:  # its images are gone
            continue
        studies, images, octets = studies + 1, images + n, octets + size
        moments.append(from_text(at))
        jobs.update(plugin for (plugin,) in database.execute(_PLUGINS, [study]).fetchall())
    if not studies:
        return None
    each = {plugin: n / studies for plugin, n in sorted(jobs.items())}
    return SiteWorkload(studies, images / studies, octets / images, _peak_share(moments, zone), each)


_PLUGINS = "SELECT plugin FROM jobs WHERE study_instance_uid=?"


def _peak_share(moments: list[datetime], zone: tzinfo) -> float | None:
    days: dict[object, Counter[int]] = {}
    for moment in moments:
        local = moment.astimezone(zone)
        days.setdefault(local.date(), Counter())[local.hour] += 1
    shares = [max(hours.values()) / hours.total() for hours in days.values() if hours.total() >= _FEWEST_A_DAY]
    return sum(shares) / len(shares) if shares else None
