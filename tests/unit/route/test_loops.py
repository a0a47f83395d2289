"""Two systems that send each other what they make of a study, unmarked: the loop is noticed, and ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from node.clock import to_text
from node.config.destinations import DicomDestination
from node.ledger import alerts, decisions, deliveries, forwards, instances, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.forwards import ForwardTerms
from node.route import forwarding
from node.route.stage import RouteStage
from rules.model import Rule
from tests.support.clocks import HandClock
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site

OTHER = DicomDestination.model_validate({"ae_title": "OTHERNODE", "host": "10.0.0.1", "port": 104})
FORWARDS = Rule.model_validate(
    {"name": "on", "when": {"Modality": "CT"}, "forward": {"to": ["archive"]}, "mode": "clinical"}
)
ARCHIVE = DicomDestination.model_validate({"ae_title": "ARCHIVE", "host": "10.0.0.2", "port": 104})


class TwoNodes:
    """This node, which sends the other one what it made, and another that answers with an object of its own."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder, HandClock())
        destinations = {"other": OTHER, "archive": ARCHIVE}
        self.route = RouteStage(self.site.node, ruled([FORWARDS], destinations=destinations), lambda _: None)  # type: ignore[arg-type, return-value] # no rule runs a plugin

    def round(self, sender: str) -> None:
        """Something comes, the study is complete, and what goes out is delivered."""
        self.site.clock.pass_(minutes=5)  # type: ignore[attr-defined]
        (receipt,) = self.site.receive(1)
        with self.site.ledger.transaction() as database:
            database.execute("UPDATE instances SET calling_ae_title=? WHERE receipt=?", [sender, receipt])
        self.site.clock.pass_(minutes=1)  # type: ignore[attr-defined]
        self.site.complete()
        self.route.run_once()
        study = studies.get(self.site.ledger.database, STUDY)
        assert study is not None
        if study.hold is None:  # what is made of it (here: what came stands for it) goes to the other one
            self.site.clock.pass_(minutes=1)  # type: ignore[attr-defined]
            with self.site.ledger.transaction() as database:
                decision = decisions.of_study(database, STUDY)[-1].id
                terms = ForwardTerms("other", decision, "made of it", 0, {}, None)
                forwards.enqueue(database, self.site.clock.now(), STUDY, terms, instances.of_study(database, STUDY))
                values = [to_text(self.site.clock.now())]
                database.execute("UPDATE deliveries SET status='delivered', sent_at=? WHERE status='waiting'", values)

    @property
    def hold(self) -> str | None:
        """Why the study is held."""
        study = studies.get(self.site.ledger.database, STUDY)
        assert study is not None
        return study.hold


@pytest.fixture
def nodes(tmp_path: Path) -> TwoNodes:
    return TwoNodes(tmp_path)


def test_a_study_that_goes_back_and_forth_is_held_with_an_alert(nodes: TwoNodes) -> None:
    """Its next images are not sent, so nothing comes any more; a person decides. The alert names the destination."""
    nodes.round("CT1")
    for _ in range(9):
        nodes.round("OTHERNODE")
    assert nodes.hold is None
    nodes.round("OTHERNODE")
    assert "by what came from other" in str(nodes.hold)
    assert [each.kind for each in alerts.every(nodes.site.ledger.database, closed=False)] == ["study.held"]
    waiting = [
        each
        for each in deliveries.of_study(nodes.site.ledger.database, STUDY)
        if each.status is DeliveryStatus.WAITING and each.destination == "archive"
    ]
    assert len(waiting) == 1  # decided, and not sent before a person has released it


@pytest.fixture
def short_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring is known by 11 rounds, so that a test takes a third of the time."""
    monkeypatch.setattr(forwarding, "_RING_ROUNDS", 11)


@pytest.mark.usefixtures("short_rings")
def test_a_ring_of_three_systems_is_held_with_an_alert(nodes: TwoNodes) -> None:
    """This node sends to one, what is made of it comes from a third, which is no destination and made nothing first."""
    nodes.round("CT1")
    for _ in range(10):
        nodes.round("THIRD")
    assert nodes.hold is None
    nodes.round("THIRD")
    assert "by what THIRD sent after this node had sent something of it" in str(nodes.hold)
    assert [each.kind for each in alerts.every(nodes.site.ledger.database, closed=False)] == ["study.held"]


@pytest.mark.usefixtures("short_rings")
def test_a_scanner_that_goes_on_with_its_study_is_no_ring(nodes: TwoNodes) -> None:
    """Run after run of an angiography, each forwarded before the next: what the study began with came from there."""
    for _ in range(13):
        nodes.round("CT1")
    assert nodes.hold is None


@pytest.mark.parametrize("breaks", ["another sender", "nothing was sent"])
def test_a_study_that_grows_for_another_reason_is_no_loop(nodes: TwoNodes, breaks: str) -> None:
    """A scanner that sends in between, or an archive that forwards late images though nothing had gone to it."""
    nodes.round("CT1")
    for number in range(12):
        if breaks == "another sender" and number == 5:
            nodes.round("CT1")
        if breaks == "nothing was sent" and number == 5:
            earlier = to_text(nodes.site.clock.now() - timedelta(hours=10))
            with nodes.site.ledger.transaction() as database:
                database.execute("UPDATE deliveries SET sent_at=? WHERE sent_at IS NOT NULL", [earlier])
        nodes.round("OTHERNODE")
        if number < 10:
            assert nodes.hold is None
