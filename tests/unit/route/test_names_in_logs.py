"""A rule may ask for a patient's name: the trace shows it to who may see it, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from structlog.testing import capture_logs

from node.ledger import decisions, events
from node.route.stage import RouteStage
from rules.model import Rule
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def _rule(name: str, **when: object) -> Rule:
    plain = {"name": name, "when": when, "choose": {"take": "all"}, "run": "bleed", "mode": "shadow"}
    return Rule.model_validate(plain)


def test_no_log_line_and_no_event_holds_the_name(tmp_path: Path) -> None:
    """Rules that match by it, nearly match, and cannot be decided; the name stands in the trace alone."""
    site = Site(tmp_path)
    site.receive(1, PatientName=("PN", "Hong^Gildong"))
    site.complete()
    rules = [
        _rule("match", PatientName={"matches": "hong*"}),
        _rule("near", Modality="CT", PatientName="Kim"),
        _rule("doubt", PatientName={"matches": "hong*"}, StationName={"is": "CT1", "missing": "error"}),
    ]
    with capture_logs() as logged:
        RouteStage(site.node, ruled(rules), lambda _: Plugins()).run_once()
    told = json.dumps([*logged, *(dict(each.detail) for each in events.of_study(site.ledger.database, STUDY))])
    assert "decision.in-doubt" in site.kinds()
    assert "hong" not in told.casefold()
    traces = [json.dumps(each.trace) for each in decisions.of_study(site.ledger.database, STUDY)]
    assert len(traces) == 3
    assert all("Hong^Gildong" in each for each in traces)
