"""Jobs on images that their plugin was not validated on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.config.envelope import EnvelopeUse
from node.ledger import attempts, events
from node.ledger.attempts import AttemptState
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run.stage import RunStage
from tests.support.sites.job_site import STUDY, Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
ENVELOPE = "[envelope]\nSliceThickness = {minimum = 0.5, maximum = 2.0}\npatient_age = {minimum = 50}\n"
THICK = "Outside of what this was validated on: the slice thickness is 5 mm; it was validated from 0.5 to 2 mm."
YOUNG = "Outside of what this was validated on: the patient's age in years is 45; it was validated from 50 up."


def with_envelope(site: Site, name: str, **use: object) -> None:
    """The manifest of a plugin states an envelope."""
    path = site.folder / "plugins" / name / "plugin.toml"
    path.write_text(path.read_text(encoding="utf-8") + ENVELOPE, encoding="utf-8")
    site.uses[name] = site.uses[name].model_copy(update={"envelope": EnvelopeUse.model_validate(use)})


def told(site: Site) -> list[events.Event]:
    """The events on it."""
    return [e for e in events.of_study(site.ledger.database, STUDY) if e.kind == EventKind.JOB_OUTSIDE_ENVELOPE]


@pytest.mark.parametrize("kind", ["python", "command"])
def test_a_plugin_of_any_kind_is_not_started_on_images_outside(
    site: Site, start: Start, settle: Settle, kind: str
) -> None:
    """The job ends as not applicable at once; summary, error and event say why, each limit in a line of its own."""
    if kind == "python":
        site.python_plugin("strict", "raise ValueError('it ran')")
    else:
        site.command_plugin("strict", "#!/bin/sh\nexit 1\n")
    with_envelope(site, "strict")
    receipts = site.receive(2, SliceThickness=("DS", 5.0))
    site.complete()
    job = settle(start(), site.job("strict", receipts))
    assert (job.status, job.outcome, job.attempts) == (JobStatus.ENDED, JobOutcome.NOT_APPLICABLE, 1)
    assert site.kept(job)["summary"] == f"{THICK}\n{YOUNG}"
    assert job.error == f"{THICK} {YOUNG}"
    (event,) = told(site)
    assert (event.job, event.detail["why"], event.detail["runs"]) == (job.id, [THICK, YOUNG], False)
    assert [each.state for each in attempts.of_job(site.ledger.database, job.id)] == [AttemptState.ANSWERED]
    assert not (site.data_folder.results / job.id / "log.txt").exists()


def test_where_the_site_wants_it_the_plugin_runs_and_the_report_says_so(
    site: Site, start: Start, settle: Settle
) -> None:
    """One sentence for each limit, before what the plugin says itself; the answer is the plugin's."""
    answer = (
        "return Result(ResultStatus.NO_FINDINGS, 'Nothing.', (Finding(CODE, present=False),), quality=('Motion.',))"
    )
    site.python_plugin("lenient", answer)
    with_envelope(site, "lenient", outside="note")
    receipts = site.receive(2, SliceThickness=("DS", 5.0))
    site.complete()
    job = settle(start(), site.job("lenient", receipts))
    assert (job.outcome, job.error) == (JobOutcome.NO_FINDINGS, None)
    assert site.kept(job)["quality"] == [THICK, YOUNG, "Motion."]
    assert [event.detail["runs"] for event in told(site)] == [True]


def test_images_within_run_without_a_word(site: Site, start: Start, settle: Settle) -> None:
    """No event, no sentence."""
    site.python_plugin("strict")
    with_envelope(site, "strict")
    receipts = site.receive(2, SliceThickness=("DS", 1.0), PatientAge=("AS", "063Y"))
    site.complete()
    job = settle(start(), site.job("strict", receipts))
    assert (job.outcome, told(site)) == (JobOutcome.NO_FINDINGS, [])
    assert "quality" not in site.kept(job)
