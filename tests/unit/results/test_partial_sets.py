"""A set that lacks an object: the sound ones go, and the reader is told which kind is missing, never why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from node.config.encoding import EncodingProfile, Kind
from node.ledger import deliveries, events, fallbacks
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.reading.reader import read_sr
from node.results import context as context_of_sets
from node.results.context import prepare
from node.results.encode import encode
from node.results.encoded import EncodedSet
from node.results.gate.judging import SetRefusedError
from node.results.maps import pm, pr, seg
from node.results.pages import picture_page, sc
from node.results.pages.sheets import draw, sheets
from node.results.report import ko, sr
from node.results.request import SetPart
from node.results.texts import ENGLISH, KOREAN, texts_of
from plugins.contract import Code, Finding, Measurement, Result, ResultStatus, Segment, Segmentation, Unit
from tests.support import history
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite

ALL: frozenset[Kind] = frozenset(("sr", "sc", "seg", "pm", "ko", "pr"))
MAKERS: dict[Kind, tuple[Any, str]] = {
    "seg": (seg, "segmentation_object"),
    "pm": (pm, "parametric_map"),
    "ko": (ko, "key_object_selection"),
    "pr": (pr, "_presentation_state"),
}
"""Where each kind of object that stands beside report and pages is made."""


def _everything() -> Result:
    """A result that becomes an object of every kind."""
    image = reports.reference("ct")
    mapped, segmented = reports.mapped(image), reports.segmented(reports.frames("ct"))
    return replace(mapped, findings=(*mapped.findings, *segmented.findings), segmentation=segmented.segmentation)


def _fails(*_: object) -> Dataset:
    raise ZeroDivisionError("no radiologist reads this")


def _is_refused(make: Callable[..., Dataset], *arguments: Any) -> Dataset:
    """As it is made, but for another patient: the gate refuses it."""
    made = make(*arguments)
    made.PatientID = "another"
    return made


def _break(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, how: str) -> None:
    broken = _fails if how == "fails" else partial(_is_refused, getattr(module, name))
    monkeypatch.setattr(module, name, broken)


def _encoded(folder: Path, result: Result, kind: str = "ct", **profile: Any) -> EncodedSet:
    paths = reports.write_series(kind, folder / "in")
    wanted = EncodingProfile(**({"kinds": ALL} | profile))
    return encode(reports.request(paths, result, profile=wanted), folder / "out")


def _kinds(made: EncodedSet) -> list[str]:
    return sorted({one.kind for one in made})


def _report(made: EncodedSet) -> Dataset:
    return next(dcmread(one.path) for one in made if one.kind == "sr")


def _not_sent(report: Dataset) -> list[str]:
    return [text for name, text in read_sr(report).notes if name == "Part of the result that is not sent"]


def _references(report: Dataset) -> set[str]:
    return {str(element.value) for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"}


def _words_of_pages(folder: Path, result: Result, missing: frozenset[SetPart], language: Any = "en") -> str:
    """The words of the pages of a set that lacks `missing`."""
    profile = EncodingProfile(kinds=ALL, language=language)
    context = prepare(reports.request(sorted((folder / "in").iterdir()), result, profile=profile)).without(missing)
    return " ".join(placed.text for canvas in draw(context, sheets(context)) for placed in canvas.placed)


@pytest.mark.parametrize("how", ["fails", "refused"])
@pytest.mark.parametrize("kind", MAKERS)
def test_one_object_that_cannot_be_sent_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, how: str
) -> None:
    """Whether nobody foresaw the error or the gate refuses the object: all others go, the report says what is missing
    and refers to nothing that is not there, its numbers stay, and no error text reaches the reader.
    """
    whole = _encoded(tmp_path / "whole", _everything())
    _break(monkeypatch, *MAKERS[kind], how)
    made = _encoded(tmp_path, _everything())
    assert _kinds(made) == sorted(ALL - {kind})
    report = _report(made)
    assert ENGLISH.missing[kind] in _not_sent(report)
    sources = {f"{reports.STUDY_UID}.2.{number}" for number in (1, 2, 3)}
    assert _references(report) <= sources | {one.sop_instance_uid for one in made}
    now, before = (
        [(f.tracking_identifier, f.present, f.measurements, f.regions) for f in read_sr(each).findings]
        for each in (report, _report(whole))
    )
    assert now == before
    assert "ZeroDivisionError" not in report.to_json()
    assert ENGLISH.missing[kind] in _words_of_pages(tmp_path, _everything(), made.missing)


@pytest.mark.parametrize("how", ["fails", "refused"])
def test_pages_go_without_the_report_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Where the report itself cannot be sent; the pages that go are those that say it."""
    whole = _encoded(tmp_path / "whole", _everything())
    _break(monkeypatch, sr, "structured_report", how)
    made = _encoded(tmp_path, _everything())
    assert _kinds(made) == sorted(ALL - {"sr"})
    first, before = (next(one for one in each if one.kind == "sc") for each in (made, whole))
    assert not np.array_equal(dcmread(first.path).pixel_array, dcmread(before.path).pixel_array)
    assert ENGLISH.missing["sr"] in _words_of_pages(tmp_path, _everything(), made.missing)


def _fails_on_the_heat_map(make: Callable[..., Any], context: Any, *arguments: Any) -> Any:
    """As it is made, but for whatever shows a heat map."""
    for each in arguments:
        key = getattr(getattr(each, "content", each), "key", each)
        if getattr(key, "heatmap", None) is not None:
            raise ValueError("no radiologist reads this")
    return make(context, *arguments)


@pytest.mark.parametrize(
    ("module", "name", "pages", "words"),
    [
        (sc, "_page", 2, ENGLISH.partly_missing["picture"]),
        (picture_page, "decode", 1, ENGLISH.missing["picture"]),
    ],
)
def test_a_picture_that_cannot_be_drawn_costs_no_page_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, pages: int, words: str
) -> None:
    """The pages are laid out without it, or without any where nobody knows which it is, and the report says so."""
    monkeypatch.setattr(module, name, partial(_fails_on_the_heat_map, getattr(module, name)))
    made = _encoded(tmp_path, _everything())
    assert [one.instance_number for one in made if one.kind == "sc"] == list(range(1, pages + 1))
    assert words in _not_sent(_report(made))


def test_without_any_page_the_report_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the summary can be written: the report goes, and says that there are no pages."""
    _break(monkeypatch, sc, "_page", "fails")
    made = _encoded(tmp_path, _everything())
    assert _kinds(made) == sorted(ALL - {"sc"})
    assert ENGLISH.missing["sc"] in _not_sent(_report(made))


@pytest.mark.parametrize("form", ["single", "multi-frame"])
def test_pages_that_the_gate_refuses_are_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Whether each page is an object or all are frames of one."""
    _break(monkeypatch, sc, "_page", "refused")
    made = _encoded(tmp_path, _everything(), sc_form=form)
    assert _kinds(made) == sorted(ALL - {"sc"})
    assert {path.name for path in (tmp_path / "out" / "refused").iterdir()} >= {"reasons.txt", "sc-001.dcm"}


def test_it_is_said_in_the_language_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sentence is there in Korean too, and the report and the page have it."""
    assert set(KOREAN.missing) == set(ENGLISH.missing)
    assert set(KOREAN.partly_missing) == set(ENGLISH.partly_missing)
    _break(monkeypatch, *MAKERS["seg"], "fails")
    made = _encoded(tmp_path, _everything(), language="ko")
    assert _not_sent(_report(made)) == [KOREAN.missing["seg"]]
    assert KOREAN.missing["seg"] in _words_of_pages(tmp_path, _everything(), made.missing, "ko")


def test_what_is_left_is_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding twice gives the same bytes and UIDs; the sound companions are those of the whole set."""
    whole = {one.sop_instance_uid: one.sha256 for one in _encoded(tmp_path / "whole", _everything())}
    _break(monkeypatch, *MAKERS["seg"], "fails")
    one, two = (_encoded(tmp_path / name, _everything()) for name in ("one", "two"))
    assert [each.sha256 for each in one] == [each.sha256 for each in two]
    companions = {each.sop_instance_uid: each.sha256 for each in one if each.kind in {"pm", "ko", "pr"}}
    assert companions.items() <= whole.items()


# --- several segmentations --------------------------------------------------------------------------------


def _on_two_projections() -> Result:
    """A mass on the first two of three mammograms: a segmentation for each."""
    labels = np.zeros((2, reports.ROWS, reports.COLUMNS), np.uint8)
    labels[:, 10:20, 10:20] = 1
    mass = Segment(1, "Mass", reports.ABNORMALITY, reports.NODULE)
    length = Measurement(Code("410668003", "SCT", "Length"), 12.4, reports.MM)
    finding = Finding(reports.NODULE, present=True, segments=(1,), tracking_id="Mass A", measurements=(length,))
    frames = tuple(reports.frames("mg")[:2])
    return Result(ResultStatus.FINDINGS, "A mass.", (finding,), segmentation=Segmentation(labels, frames, (mass,)))


@pytest.mark.parametrize("number", [1, 2])
def test_one_of_two_segmentations_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The other goes and is referred to under the tracking UID that it has itself; the numbers stay with the lesion."""
    make = seg.segmentation_object
    monkeypatch.setattr(
        seg,
        "segmentation_object",
        lambda context, mask: _fails() if mask.number == number else make(context, mask),
    )
    made = _encoded(tmp_path, _on_two_projections(), "mg")
    (sent,) = (dcmread(one.path) for one in made if one.kind == "seg")
    assert sent.InstanceNumber == 3 - number
    report = read_sr(_report(made))
    assert report.findings[0].tracking_identifier == "Mass A"
    assert [each.value for each in report.findings[0].measurements] == [12.4]
    (shown,) = (group for group in report.findings if group.segments)
    assert shown.tracking_uid == sent.SegmentSequence[0].TrackingUID
    assert _not_sent(_report(made)) == [ENGLISH.partly_missing["seg"]]


def test_a_label_map_that_cannot_be_used_costs_the_segmentation_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither written nor drawn, the reasons say why, and each finding keeps its group."""
    monkeypatch.setattr(context_of_sets, "masks_of", _fails)
    made = _encoded(tmp_path, reports.segmented(reports.frames("ct")))
    assert _kinds(made) == ["sc", "sr"]
    assert _not_sent(_report(made)) == [ENGLISH.missing["seg"]]
    assert "ZeroDivisionError" in (tmp_path / "out" / "refused" / "reasons.txt").read_text()
    assert len(read_sr(_report(made)).findings) == 3


# --- nothing is left --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fails", "refused"])
def test_where_nothing_sound_is_left_the_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A destination that takes reports alone, and the report cannot be sent."""
    _break(monkeypatch, sr, "structured_report", how)
    with pytest.raises(SetRefusedError, match="sr"):
        _encoded(tmp_path, reports.measured(), kinds=frozenset({"sr"}))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["refused"]


# --- in the ledger and the outbox ---------------------------------------------------------------------------


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., ResultSite]]:
    made: list[ResultSite] = []

    def site(**destinations: Any) -> ResultSite:
        made.append(ResultSite(tmp_path, **destinations))
        return made[-1]

    yield site
    for each in made:
        each.results.close()


def _reported(site: ResultSite, result: Result, *, instead_of: Job | None = None) -> Job:
    job = site.ended(result, instead_of=instead_of)
    site.results.run_once()
    return site.get(job)


LONG = Unit("mm", "millimetres of the longest diameter of the lesion in the plane of the image")
"""Its meaning has more than the 64 characters of a Code Meaning: no object can hold it."""


def _unmapped() -> Result:
    """Its heat map is in a unit that no Parametric Map can hold."""
    result = reports.mapped(reports.reference("ct"))
    return replace(result, heatmaps=tuple(replace(heatmap, unit=LONG) for heatmap in result.heatmaps))


def _unspeakable() -> Result:
    """Its measurement is in a unit that no report can hold."""
    length = Measurement(Code("410668003", "SCT", "Length"), 12.0, LONG)
    return Result(ResultStatus.FINDINGS, "A length.", (Finding(reports.NODULE, present=True, measurements=(length,)),))


def _sent(site: ResultSite, job: Job, destination: str) -> list[str]:
    kinds = {str(made.SOPInstanceUID): kind for kind, made in site.objects(job)}
    return sorted(kinds[each.item] for each in site.deliveries(job) if each.destination == destination)


def _alerts(site: ResultSite, kind: str) -> list[events.Event]:
    if kind not in {alert.kind for alert in history.open_alerts(site.ledger.database)}:
        return []
    return history.of_kind(site.ledger.database, kind)


def test_the_admin_is_told_what_is_missing_and_why(sites: Callable[..., ResultSite]) -> None:
    """The job has not failed; an alert names the object, the destinations and the technical reason."""
    site = sites()
    job = _reported(site, _unmapped())
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.FINDINGS)
    assert set(_sent(site, job, "pacs")) == {"ko", "sc", "sr"}
    (alert,) = _alerts(site, "job.objects-missing")
    assert (alert.detail["destinations"], alert.job) == ("pacs", job.id)
    assert "an error in the program (" in alert.detail["error"], "the place; a library's text may hold a patient's data"
    assert alert.detail["missing"] == "pm"
    assert "64 characters" in (site.data_folder.data / alert.detail["kept"] / "reasons.txt").read_text()


def test_a_report_made_again_in_another_class_says_it_too(sites: Callable[..., ResultSite]) -> None:
    """The destination takes no Comprehensive SR: the Enhanced SR in its place still says what is missing."""
    site = sites()
    job = _reported(site, _unmapped())
    first = next(d for d in site.deliveries(job) if d.item == str(site.sent(job, "pacs").SOPInstanceUID))
    with site.ledger.transaction() as database:
        deliveries.sending(database, site.clock.now(), first.id)
        fallbacks.refused(database, site.clock.now(), first.id, EnhancedSRStorage, "no such class")
    site.results.run_once()
    again = next(made for kind, made in site.objects(job) if made.SOPClassUID == EnhancedSRStorage and kind == "sr")
    assert _not_sent(again) == _not_sent(site.sent(job, "pacs")) == [ENGLISH.missing["pm"]]


def test_each_destination_gets_what_is_sound_for_it(sites: Callable[..., ResultSite]) -> None:
    """Without a report one still has pages, one nothing but to be told, one a page beside what nobody could read."""
    site = sites(both={}, reports={"kinds": ["sr"]})
    job = _reported(site, _unspeakable())
    assert job.outcome is JobOutcome.FINDINGS
    assert (_sent(site, job, "both"), _sent(site, job, "reports")) == (["sc"], ["sr"])
    told = site.sent(job, "reports")
    assert told.CompletionFlag == "PARTIAL"
    assert ENGLISH.not_reportable in read_sr(told).summary
    (alert,) = _alerts(site, "job.refused-for")
    assert alert.detail["destinations"] == "reports"


def test_what_nobody_can_read_goes_with_a_report_that_says_so(sites: Callable[..., ResultSite]) -> None:
    """A destination of segmentations and reports whose report cannot be written is not left with a mask alone."""
    site = sites(archive={"kinds": ["sr", "seg"]})
    result = replace(reports.segmented(reports.frames("ct")), findings=_unspeakable().findings)
    job = _reported(site, result)
    assert job.outcome is JobOutcome.FAILED
    assert _sent(site, job, "archive") == ["seg", "sr"]
    assert ENGLISH.not_reportable in read_sr(site.sent(job, "archive")).summary


def test_the_earlier_result_stays_where_the_new_one_cannot_be_read(sites: Callable[..., ResultSite]) -> None:
    """It is overtaken at the destination that gets the new one, goes to the other, and is named by the next report."""
    site = sites(both={}, reports={"kinds": ["sr"]})
    first = _reported(site, reports.measured())
    second = _reported(site, _unspeakable(), instead_of=first)
    waiting = {each.destination for each in site.deliveries(first) if each.status is DeliveryStatus.WAITING}
    assert waiting == {"reports"}
    site.delivered(first)
    site.delivered(second)
    third = _reported(site, reports.measured(), instead_of=second)
    named = {
        str(item.ReferencedSOPInstanceUID)
        for study in site.sent(third, "reports").PredecessorDocumentsSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named == {str(site.sent(each, "reports").SOPInstanceUID) for each in (first, second)}


def test_every_language_names_every_kind() -> None:
    """A kind without a sentence would end the report that has to say it."""
    for language in ("en", "ko"):
        assert {*get_args(Kind), "picture"} == set(texts_of(language).missing)  # both are languages
