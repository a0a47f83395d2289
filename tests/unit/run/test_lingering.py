"""Processes that go on although their result is there."""

from __future__ import annotations

from pathlib import Path

from node.run.lingering import GraceTime


def test_a_result_that_stays_as_it_is_for_the_grace_time_is_enough(tmp_path: Path) -> None:
    """Ten seconds count from when the result was there, or last changed; without one nothing is over."""
    result = tmp_path / "result.json"
    watched = GraceTime(str(result), 10.0)
    assert not any(watched.is_over(now) for now in (0.0, 11.0, 100.0))
    result.write_text("{")
    assert [watched.is_over(now) for now in (100.0, 109.0)] == [False, False]
    result.write_text("{}")
    assert [watched.is_over(now) for now in (111.0, 120.0, 121.0)] == [False, False, True]
    result.unlink()
    assert not watched.is_over(200.0)
