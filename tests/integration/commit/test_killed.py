"""kill -9 while a commitment is asked for and reported (case 55): no request is lost.

Here the receiver and the node die for real; tests/unit/commit/test_stage.py has every step between.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.dimse.commitment import Requester, information
from tests.support.sites.site import Site
from tests.support.wait import until

# Where it dies, and how often the modality may be told. Where it had to ask again, that is once where the node had not
# yet reported the first request, which it kept, and else twice: each request is answered, and with the same.
POINTS = {
    "written_before_it_is_answered": ("node.store.journal:Journal.keep:after", {1, 2}),
    "answered_before_it_is_noted": ("node.commit.reporting:report:after", {2}),
}


_NIGHT = pytest.mark.at_night("the kill after the answer, before it is noted, and the crash matrix")


@pytest.mark.parametrize(
    "point", [each if each == "answered_before_it_is_noted" else pytest.param(each, marks=_NIGHT) for each in POINTS]
)
def test_fault_55_killed_on_the_way_of_a_commitment(point: str, tmp_path: Path) -> None:
    """A modality whose N-ACTION was not answered asks again; one that was answered gets the report, unasked."""
    files = chest_series.write_series(Chest(size=32, slice_mm=46.0), tmp_path / "ct")
    kill, reports = POINTS[point]
    environment = {"PACSNODE_TEST_KILL": kill, "PACSNODE_TEST_KILL_ONCE": str(tmp_path / "killed")}
    transaction = generate_uid()
    with Requester() as requester:
        asking = {"ct1": requester.settings()}
        with Site(tmp_path / "node", {}, [], environment=environment, modalities=asking) as site:
            with requester.association(site.port) as association:
                references = requester.send(association, files)
                status = requester.asked(association, information(references, transaction))
            if status is None:
                with requester.association(site.port) as association:
                    assert requester.asked(association, information(references, transaction)) == 0x0000
            until(lambda: len(requester.of(transaction)) >= min(reports), what="the report")
            assert (tmp_path / "killed").exists()
            until(lambda: _all_reported(site), what="it to be noted")
    said = requester.of(transaction)
    assert len(said) in reports
    assert {each.committed for each in said} == {frozenset(uid for _, uid in references)}


def _all_reported(site: Site) -> bool:
    counted: dict[str, int] = site.status()["queues"]["commitments"]
    return {status for status, number in counted.items() if number} == {"reported"}
