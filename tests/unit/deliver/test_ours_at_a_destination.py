"""Series of ours at a destination, by what a C-FIND at series level says of them."""

from __future__ import annotations

import pytest

from node.ourselves import may_have_made
from node.results.uids import derive

OURS, RANDOM = derive("series", "a job"), "2.25.329800735698586629295641978511506172918"


@pytest.mark.parametrize(
    ("series", "ours"),
    [
        ({"SeriesInstanceUID": "1.2.3", "Manufacturer": "pacsnode", "DeviceSerialNumber": "PN1"}, True),
        ({"SeriesInstanceUID": "1.2.3", "Manufacturer": "pacsnode", "DeviceSerialNumber": ""}, True),
        ({"SeriesInstanceUID": OURS, "Manufacturer": "pacsnode", "DeviceSerialNumber": "PN2"}, False),
        ({"SeriesInstanceUID": OURS, "Manufacturer": "A maker of scanners"}, False),
        ({"SeriesInstanceUID": OURS, "Manufacturer": ""}, True),
        ({"SeriesInstanceUID": f" {OURS}"}, True),
        ({"SeriesInstanceUID": RANDOM}, False),
        ({"SeriesInstanceUID": "1.2.840.113619.2.55"}, False),
        ({"SeriesInstanceUID": "2.25.x"}, False),
        ({"SeriesInstanceUID": "2.25." + "9" * 40}, False),
        ({}, False),
    ],
)
def test_the_equipment_decides_and_else_the_form_of_the_uid(series: dict[str, str], ours: bool) -> None:
    """Another node's results are not ours; an archive that states no manufacturer leaves the UID alone to go by."""
    assert may_have_made(series, "PN1") is ours
