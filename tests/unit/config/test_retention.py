"""The section `retention`: nothing by default, plain errors, ages that nobody mistook."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from node.config.loading import load
from node.config.models import Configuration
from node.config.problems import ConfigurationError

NODE = "node: {time_zone: UTC}\n"


def loaded(folder: Path, text: str) -> Configuration:
    path = folder / "config.yaml"
    path.write_text(NODE + text)
    return load(path)


def test_without_the_section_nothing_is_ever_deleted(tmp_path: Path) -> None:
    """Deleting cannot be taken back: a person has to ask for it, class by class."""
    assert not loaded(tmp_path, "").retention.deletes
    found = loaded(tmp_path, "retention: {images: 30d}\n").retention
    assert (found.deletes, found.images, found.results, found.below) == (True, timedelta(days=30), None, None)


def test_years_and_times_of_day_are_read(tmp_path: Path) -> None:
    """A year has 365 days."""
    found = loaded(tmp_path, 'retention: {events: 5y, below: 50GiB, at: "01:00", until: "05:00"}\n').retention
    assert (found.events, found.below) == (timedelta(days=5 * 365), 50 * 2**30)
    assert (found.at, found.until) == (time(1), time(5))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("retention: {images: 30}", "30 is not a duration"),
        ("retention: {images: 30m}", "30m is too short: at least 1h"),
        ("retention: {pictures: 30d}", 'there is no key "pictures" here'),
        ("retention: {first: [images, images]}", "first: a class is named twice"),
        ("retention: {first: [events]}", "first"),
        ('retention: {at: "02:00", until: "02:00"}', "until: the same time as at"),
        ("retention: {below: 2GiB}", "not above node.limits.free_space"),
    ],
)
def test_what_makes_no_sense_is_a_problem_in_words(tmp_path: Path, text: str, expected: str) -> None:
    """With the place in the file."""
    with pytest.raises(ConfigurationError) as found:
        loaded(tmp_path, text + "\n")
    assert expected in str(found.value)
    assert "config.yaml:2:" in str(found.value)
