"""One plugin takes whatever it can get of a small data disk, the memory and the node; nobody else notices.

How soon the other plugin's result is in the PACS is measured by `python -m tests.benchmarks.beside_greedy`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ledger.event_kinds import EventKind
from node.ledger.job import JobOutcome
from tests.support import history
from tests.support.sites import greedy_site
from tests.support.wait import until


def test_finding_x8_beside_a_greedy_plugin_results_arrive_and_images_are_accepted(tmp_path: Path) -> None:
    """10,000 findings, a full disk, sparse arrays and memory at once: another plugin's result gets to the PACS, each
    association of a modality is accepted, the four jobs end by name, and their room is there again."""
    try:
        with greedy_site.started(tmp_path) as (site, pacs):
            ended = greedy_site.play(site, pacs, tmp_path).ended
            assert {(job.outcome, job.attempts) for job in ended.values()} == {(JobOutcome.FAILED, 1)}
            unnamed = [takes for takes, words in greedy_site.ENDS.items() if words not in str(ended[takes].error)]
            assert unnamed == [], ended
            assert history.of_kind(site.ledger.database, EventKind.JOB_POSTPONED) == []
            assert "wrote more than" in site.command("study", "G1").stdout
            until(lambda: site.left_over() == [], what="their room to be there again")
    except greedy_site.NoSmallDiskError as error:
        pytest.skip(str(error))
