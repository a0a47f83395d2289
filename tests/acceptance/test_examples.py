"""The worked examples through a node and a PACS: from images and a rule to report, SEG, pages and people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.ledger import decisions
from node.ledger.job import JobOutcome
from plugins.phantoms import head
from plugins.phantoms import water as water_phantom
from plugins.phantoms.chest_series import SeriesHeader, write_series
from plugins.phantoms.files import PhantomOrder
from plugins.phantoms.head import HeadPhantom
from plugins.phantoms.nodules import NoduleChest, SphericalNodule
from plugins.phantoms.water import WaterPhantom
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import (
    CT,
    assert_conformant,
    assert_is_what_the_node_made,
    assert_reports_valid,
    computed,
    ct_of,
    held,
    numbers_in,
    numbers_of,
    send,
)
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.listeners import web_service
from tests.support.sites.site import ROOT, Site, rule
from tests.support.wait import until

EXAMPLES = ROOT / "plugins" / "examples"
PLUGINS = {name: {"folder": str(EXAMPLES / name.replace("-", "_"))} for name in ("ct-nodules", "head-ct-triage")}


def chest(folder: Path, diameter_mm: float, header: SeriesHeader) -> CT:
    phantom = NoduleChest(
        size=160,
        slice_mm=2.0,
        vessels=False,
        extent=(-30.0, 45.0),
        partial_volume=True,
        nodules=(SphericalNodule((-90.0, 10.0, 12.0), diameter_mm), SphericalNodule((70.0, -20.0, 5.0), 16.0)),
    )
    return ct_of(write_series(phantom, folder, header))


@pytest.mark.at_night("the plugin's own tests, tests/acceptance/test_prior.py, and the two below")
def test_nodules_are_compared_with_the_study_in_the_pacs(pacs: Orthanc, make_site: MakeSite, tmp_path: Path) -> None:
    """The earlier study is fetched; report, SEG and pages of the current one are valid, and the report has the
    growth that the plugin computed."""
    earlier = chest(tmp_path / "earlier", 15.0, SeriesHeader(study_date="20231004", accession_number="A0"))
    current = chest(tmp_path / "current", 20.0, SeriesHeader())
    follow_up = rule(
        "ct-nodules",
        choose={"role": "current", "where": {"Modality": "CT"}, "take": "one"},
        prior={"source": "pacs", "within": "2 years"},
    )
    send(earlier, pacs)
    send(current, pacs)
    with make_site(rules=[follow_up], plugins=PLUGINS) as site:
        send(current, site)
        until(lambda: "report at pacs" in _steps(site, current.study), what="the report to be delivered")
        (job,) = site.wait_delivered(current.study, objects=len(_shown(site, current.study)["deliveries"]))
        results = held(pacs, current.study)
        assert job.outcome is JobOutcome.FINDINGS
        assert {kind: len(found) for kind, found in results.datasets.items() if kind != "sc"} == {
            "sr": 1,
            "seg": 1,
            "ko": 1,
        }
        assert_is_what_the_node_made(site, job, results)
        result = computed(site, job)
    (report,) = results.reports
    assert numbers_in(report) == numbers_of(result)
    assert {name for _, name, _ in numbers_of(result)} >= {"VOLUME_CHANGE", "VOLUME_DOUBLING_TIME"}
    assert "90 days earlier" in report.summary
    (segmentation,) = results.datasets["seg"]
    assert [each.SegmentLabel for each in segmentation.SegmentSequence] == ["1 Nodule 1", "2 Nodule 2"]
    assert "Teaching example, not a medical device." in report.summary
    assert_conformant(results, current.files, tmp_path / "results")
    assert_reports_valid(results, tmp_path / "results")


def _shown(site: Site, study: str) -> dict[str, Any]:
    """What `pacsnode study --json` says; empty where it does not know the study yet."""
    done = site.command("study", study, "--json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def _steps(site: Site, study: str) -> list[str]:
    return [each["step"] for each in _shown(site, study).get("turnaround", ())]


def test_a_bleed_is_reported_told_and_acknowledged_and_the_minutes_are_shown(
    pacs: Orthanc, make_site: MakeSite, tmp_path: Path
) -> None:
    """An urgent report on the right side of the patient, a message without a name, and each step with its minutes since
    the last image, in order; a head without a bleed is reported as such and tells nobody."""
    bled = ct_of(head.write_ct(HeadPhantom(size=128, slice_mm=5.0), tmp_path / "bled"))
    sound_order = PhantomOrder("Sound^Head", "PHANTOM-0009", accession_number="A0009")
    sound = ct_of(head.write_ct(HeadPhantom(size=128, slice_mm=5.0, bleed=None), tmp_path / "sound", sound_order))
    with web_service() as pager:
        notify = {
            "on": "findings",
            "finding": {"code": "SCT:1386000", "urgent": True},
            "whom": "duty",
            "text": "The AI reports a bleed",
            "acknowledge": "10m",
            "then": ["chief"],
        }
        triage = rule(
            "head-ct-triage", priority="urgent", notify=notify, expires={"after": "30 minutes", "then": "send"}
        )
        site = make_site(rules=[triage], plugins=PLUGINS)
        configuration = json.loads(site.config.read_text())
        people = {"duty": {"webhook": {"url": pager.url}}, "chief": {"webhook": {"url": pager.url}}}
        site.config.write_text(json.dumps({**configuration, "people": people}))
        send(bled, pacs)
        send(sound, pacs)
        with site:
            send(bled, site)
            until(lambda: pager.received, what="the radiologist on duty to be told")
            (job,) = site.wait_delivered(bled.study, objects=4)
            number = _shown(site, bled.study)["notifications"][0]["id"]
            assert site.command("ack", f"notification:{number}").returncode == 0
            study = _shown(site, bled.study)
            shown = site.command("study", bled.study).stdout
            results = held(pacs, bled.study)
            assert_is_what_the_node_made(site, job, results)
            send(sound, site)
            (negative,) = site.wait_delivered(sound.study, objects=2)
            assert negative.outcome is JobOutcome.NO_FINDINGS
    steps = [each["step"] for each in study["turnaround"]]
    assert steps[0] == "study complete"
    assert steps[-1].startswith("acknowledged by ")
    assert {"result of head-ct-triage", "report at pacs", "duty notified"} <= set(steps)
    minutes = [each["minutes"] for each in study["turnaround"]]
    assert minutes == sorted(minutes)
    assert "Since the last image" in shown
    assert len(pager.received) == 1
    assert "Phantom" not in str(pager.received)
    (report,) = results.reports
    (finding,) = report.findings
    assert finding.site is not None
    assert finding.site.side == "Left"
    assert "URGENT" in "\n".join(report.lines())
    assert_conformant(results, bled.files, tmp_path / "results")
    assert_reports_valid(results, tmp_path / "results")
    assert dcmread(bled.files[0]).PatientID == results.datasets["sr"][0].PatientID


def water(folder: Path, day: int, drift_hu: float, **order: str) -> CT:
    """The phantom of CT1 as it was scanned on that day of January."""
    phantom = WaterPhantom(size=128, slices=3, noise_hu=2.0, drift_hu=drift_hu, seed=day)
    who = {"patient_name": "QA^Water", "patient_id": "QA-CT1", "patient_birth_date": "", "patient_sex": "", **order}
    made = PhantomOrder(**who, accession_number=f"QA{day}", study_date=f"202401{day:02}")
    return ct_of(water_phantom.write_series(phantom, folder / f"{day} {who['patient_name']}", made))


def test_the_phantom_of_the_day_is_compared_with_the_scans_that_the_node_has(
    pacs: Orthanc, make_site: MakeSite, tmp_path: Path
) -> None:
    """The newest earlier scan comes from the PACS, two more from the node itself, newest first.

    Not the one of a phantom with the same Patient ID and another name, none of a later day, and no more than `count`.
    Report and page have the trend.
    """
    scans = {day: water(tmp_path, day, drift) for day, drift in ((3, 0.0), (4, 0.0), (5, 1.0), (6, -1.0), (9, 5.0))}
    other, today = water(tmp_path, 7, 40.0, patient_name="QA^Acrylic"), water(tmp_path, 8, 4.0)
    daily = rule(
        "ct-qa",
        when={"Modality": "CT", "PatientID": "QA-CT1", "StudyDate": "20240108"},
        prior={"source": "pacs", "within": "60 days", "count": 3},
    )
    with make_site(rules=[daily]) as site:
        for each in (*scans.values(), other):
            send(each, site)
        send(scans[6], pacs)
        send(today, pacs)
        database = site.ledger.database
        for each in (*scans.values(), other):
            until(lambda uid=each.study: decisions.of_study(database, uid), what="the scans before to be here")
        send(today, site)
        until(lambda: "report at pacs" in _steps(site, today.study), what="the report of today to be delivered")
        (job,) = site.wait_delivered(today.study, objects=len(_shown(site, today.study)["deliveries"]))
        asked = json.loads((site.data / "results" / job.id / "plugin" / "request.json").read_text())
        given = [each["series_instance_uid"] for each in asked["series"] if each.get("role") == "prior"]
        assert given == [str(scans[day].header.SeriesInstanceUID) for day in (6, 5, 4)]
        result = computed(site, job)
        results = held(pacs, today.study)
    numbers = {name: value for _, name, value in numbers_of(result)}
    assert numbers["CT_QA_DRIFT"] == pytest.approx(5.0, abs=1)
    assert numbers["CT_QA_TREND"] == pytest.approx(4.0, abs=1)
    (report,) = results.reports
    assert numbers_in(report) == numbers_of(result)
    assert any("the last 4 scans" in each.caption for each in result.pictures)
    assert_conformant(results, today.files, tmp_path / "results")
