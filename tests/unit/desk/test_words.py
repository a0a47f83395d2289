"""Moments, lists and UIDs of events as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from node.desk.words import details, local

SEOUL = ZoneInfo("Asia/Seoul")
NOW = datetime(2026, 3, 2, 4, 30, tzinfo=UTC)


def test_finding_o9_moments_in_texts_are_in_the_sites_time() -> None:
    """In details and inside sentences; as short as elsewhere: with the day where it is another one."""
    assert details({"not_before": "2026-03-02T05:00:00.000000Z"}, SEOUL, NOW) == "not_before=14:00:00"
    late = "results expire, and this one did 2026-03-01T20:00:00.000000Z"
    assert local(late, SEOUL, NOW) == "results expire, and this one did 05:00:00"
    assert details({"deadline": "2026-03-04T05:00:00Z"}, SEOUL, NOW) == 'deadline="03-04 14:00"'
    assert local(None, SEOUL, NOW) == ""


def test_finding_o9_a_conflict_of_many_instances_is_one_line() -> None:
    """Of lists the first three entries, UIDs by their end, associations and empty lists not at all."""
    conflict = {
        "instances": 20,
        "associations": [f"a{number}" for number in range(20)],
        "differences": ["PixelData"],
        "sop_instance_uids": [f"1.2.840.113619.2.55.3.604688119.971.{number}" for number in range(20)],
        "reasons": [],
    }
    assert details(conflict, SEOUL, NOW) == (
        "instances=20 differences=PixelData sop_instance_uids="
        '"…4688119.971.0, …4688119.971.1, …4688119.971.2, and 17 more"'
    )
