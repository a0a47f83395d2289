"""A stop rule suspends a plugin's rule: what the PACS gets of the next study, who is notified, and how it goes on."""

from __future__ import annotations

from pathlib import Path

from node.ledger import jobs, pauses
from node.ledger.job import JobOutcome
from plugins.phantoms.chest_series import SeriesHeader
from tests.acceptance.in_the_pacs import CT, held, send, small_ct
from tests.support import history, wait
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.listeners import web_service
from tests.support.sites.site import Site, destination, rule

WATCHED = {"plugin": "mean-hu", "watch": "latency", "longer_than": "1ms", "above": "0.001%", "then": "suspend"}
"""So little that the first result proves it: one of 200 jobs that took longer, with 99 % certainty."""
SUSPENDED = "Not analysed: suspended. Rule mean-hu is suspended for"


def study(folder: Path, number: int) -> CT:
    return small_ct(folder / f"ct{number}", SeriesHeader(accession_number=f"A{number}", patient_id=f"P{number}"))


def test_a_suspended_study_is_reported_as_not_analysed_until_a_person_resumes_it(
    pacs: Orthanc, node_port: int, tmp_path: Path
) -> None:
    """Report and page say that there is no result, one person reads of it, and the study after the resume has one."""
    first, second, third = (study(tmp_path, number) for number in (1, 2, 3))
    for each in (first, second, third):
        send(each, pacs)
    with web_service() as web:
        people = {"people": {"duty": {"webhook": {"url": web.url, "timeout": "20s"}}}, "alerts": {"to": ["duty"]}}
        wanted = rule(notify={"on": ["failure"], "whom": "duty"})
        ways = {"pacs": destination(pacs.ae_title, pacs.dicom_port)}
        listen = {"listen": {"host": "127.0.0.1", "port": node_port}}
        sections = people | {"stop_rules": {"too-late": WATCHED}}
        with Site(tmp_path / "node", ways, [wanted], None, listen, sections=sections) as site:
            send(first, site)
            site.wait_delivered(first.study, 3)
            (found,) = wait.until(lambda: pauses.every(site.ledger.database), what="the stop rule to suspend the rule")

            send(second, site)
            (job,) = site.wait_delivered(second.study, 2)
            assert job.outcome is JobOutcome.FAILED
            results = held(pacs, second.study)
            assert results.counts() == {"sr": 1, "sc": 1}
            (report,) = results.reports
            assert SUSPENDED in report.summary
            wait.until(
                lambda: {"failure", "alert-begins"} <= {each["occasion"] for each in web.received}, what="a person"
            )
            (message,) = [each for each in web.received if each["occasion"] == "failure"]
            assert message["study_instance_uid"] == second.study

            refused = site.command("resume", "suspension", found.name)
            assert refused.returncode == 2
            done = site.command("resume", "suspension", found.name, "--why", "the new protocol explains it")
            assert done.returncode == 0, done.stderr
            (event,) = history.of_kind(site.ledger.database, "suspension.resumed")
            assert event.actor.startswith("os:")
            assert event.detail["why"] == "the new protocol explains it"

            send(third, site)
            site.wait_delivered(third.study, 3)
            (after,) = jobs.of_study(site.ledger.database, third.study)
            assert after.outcome is JobOutcome.FINDINGS
