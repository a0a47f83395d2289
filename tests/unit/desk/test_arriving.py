"""Until when a study counts as arriving, as a person reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from node.config.models import NodeSettings
from node.desk.arriving import status_text
from node.ledger import studies
from node.ledger.database import Ledger
from tests.support.sites.past import ARRIVING, GOOD, NOW

NODE = NodeSettings.model_validate({"time_zone": "Asia/Seoul"})


@pytest.mark.parametrize(
    ("seconds", "ended", "text"),
    [
        (10, False, "receiving until 13:31:00 unless more arrives"),
        (10, True, "receiving, to be completed now"),
        (70, False, "receiving until its association is released and all is indexed, 14:00:00 at the latest"),
        (1800, False, "receiving, due 14:00:00"),
    ],
)
def test_finding_o4_a_study_that_is_being_received_says_until_when(
    ledger: Ledger, seconds: int, ended: bool, text: str
) -> None:
    """In the site's time: first the quiet period, then what holds it back, then that it is late."""
    study = studies.get(ledger.database, ARRIVING)
    assert study is not None
    assert status_text(study, NODE, NOW + timedelta(seconds=seconds), ended=ended) == text


def test_a_complete_study_is_complete(ledger: Ledger) -> None:
    """No moment is given."""
    study = studies.get(ledger.database, GOOD)
    assert study is not None
    assert status_text(study, NODE, NOW, ended=False) == "complete"
