"""Which earlier results a job was computed from, as a person and a script see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from node.desk.computed_from import computed_from
from node.desk.words import short
from node.ledger.job import UsedResult
from tests.support.sites.job_site import Site


def test_a_job_names_the_results_it_works_on_and_why_it_ran_again(tmp_path: Path) -> None:
    """Again because the first result had changed; not where it had not, and a first run says nothing of that."""
    site = Site(tmp_path)
    receipts = site.receive(2)
    site.complete()
    made, every = [], []
    for number, result in enumerate(("one", "other", "other"), start=1):
        first = replace(site.job("lung-density", receipts, rule=f"lungs {number}", step="lungs"), rule="chest")
        uses = (UsedResult("mask", first.id, result),)
        last = replace(site.job("nodules", receipts, rule=f"nodules {number}"), rule="chest", uses=uses)
        made.append((last, first))
        every += [first, last]
    found = computed_from(every)
    assert [(each.job, each.source, each.has_changed) for each in found] == [
        (made[0][0].id, made[0][1].id, False),
        (made[1][0].id, made[1][1].id, True),
        (made[2][0].id, made[2][1].id, False),
    ]
    job, source = made[1]
    assert found[1].in_words() == (
        f"Job {short(job.id)} was computed from the result of step lungs (lung-density, job {short(source.id)}), as "
        "mask; it ran again because that result had changed."
    )
    assert found[0].plain()["name"] == "mask"
    site.ledger.close()
