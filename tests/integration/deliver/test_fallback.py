"""The class stated for reports is refused: what the destination holds in the end, and what the node says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from node.config.models import Configuration
from node.deliver.outbox import Outbox
from node.dicom.report_classes import SOP_CLASSES
from node.ledger import deliveries, events, fallbacks, objects, studies
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import Severity
from node.ledger.job import Job
from node.ledger.terms import Terms
from node.reading import reader
from node.results.making import ObjectMaker
from node.results.stage import ResultsStage
from node.results.texts import ENGLISH
from plugins.contract import Code, Finding, Measurement, Point, Result, ResultStatus, Unit
from tests.support import history
from tests.support.dimse.choosy_pacs import ChoosyPACS
from tests.support.programs.validators import dciodvfy
from tests.support.results import reports
from tests.support.sites.result_site import PACS, ResultSite

THREE_D, COMPREHENSIVE, ENHANCED = (SOP_CLASSES[each] for each in ("comprehensive-3d", "comprehensive", "enhanced"))
ALL = ("sr", "sc", "seg", "pm", "ko", "pr")
DELIVERED, REPLACED, DEAD = DeliveryStatus.DELIVERED, DeliveryStatus.REPLACED, DeliveryStatus.DEAD


class Room:
    """A node's stages `results` and `deliver` between a job that has ended and destinations that are choosy."""

    def __init__(self, folder: Path, kinds: list[str], **pacs: ChoosyPACS) -> None:
        self.pacs = pacs
        self.settings: dict[str, Any] = {
            name: {"port": each.port, "sr_class": "comprehensive-3d", "kinds": kinds, "timeout": "20s"}
            for name, each in pacs.items()
        }
        self.site = ResultSite(folder, **self.settings)
        for each in pacs.values():
            each.put([self.site.data_folder.find(receipt) for receipt in self.site.receipts])
        self.restart()

    def restart(self) -> None:
        """As after a kill: nothing is known but what the ledger and the disk have."""
        self.site.results.close()
        old = self.site.results._configuration
        self.site.results = ResultsStage(self.site.node, old)
        self.configure(self.settings)

    def configure(self, settings: dict[str, dict[str, Any]]) -> None:
        """As after a reload."""
        given = self.site.results._configuration.model_dump(exclude_unset=True)
        destinations = {name: PACS | changes for name, changes in settings.items()}
        configuration = Configuration.model_validate(given | {"destinations": destinations})
        self.site.results.use(configuration)
        self.outboxes = {name: Outbox(name, self.site.node, configuration) for name in configuration.destinations}

    def close(self) -> None:
        self.site.results.close()
        for each in self.outboxes.values():
            each.close()

    def reported(self, result: Result, **more: Any) -> Job:
        job = self.site.ended(result, **more)
        self.site.results.run_once()
        return job

    def deliver(self) -> None:
        """Send what is due, make anew what was refused, until there is nothing left."""
        for _ in range(4):
            self.send()
            self.site.results.run_once()

    def send(self) -> None:
        for each in self.outboxes.values():
            each.run_once()

    def reports(self, job: Job, destination: str = "pacs") -> list[Delivery]:
        """Deliveries of reports, oldest first."""
        return [
            each
            for each in self.site.deliveries(job)
            if each.destination == destination and each.sop_class_uid in SOP_CLASSES.values()
        ]

    def said(self, severity: Severity) -> list[events.Event]:
        return [each for each in history.latest(self.site.ledger.database, 100) if each.severity is severity]


MakeRoom = Callable[..., Room]


@pytest.fixture
def make_room(tmp_path: Path) -> Iterator[MakeRoom]:
    """`make_room(pacs={refused classes}, …, kinds=…, unsupported={…})`."""
    with ExitStack() as open_things:

        def make(
            kinds: tuple[str, ...] = ("sr",), unsupported: frozenset[str] = frozenset(), **refuses: set[str]
        ) -> Room:
            pacs = {
                name: open_things.enter_context(ChoosyPACS(tmp_path / name, classes, unsupported))
                for name, classes in refuses.items()
            }
            room = Room(tmp_path / "node", list(kinds), **pacs)
            open_things.callback(room.close)
            return room

        yield make


def everything() -> Result:
    """A result that becomes an object of each kind, with a point in the patient."""
    point = Point(np.array([-60.0, -80.0, 10.2]), frame_of_reference_uid=reports.FRAME_OF_REFERENCE)
    spot = Finding(reports.NODULE, present=True, regions=(point,), tracking_id="Spot")
    result = reports.mapped(reports.reference("ct"))
    lungs = reports.segmented(reports.frames("ct"))
    return replace(result, findings=(*result.findings, *lungs.findings, spot), segmentation=lungs.segmentation)


def referenced(dataset: Dataset) -> set[tuple[str, str]]:
    """(SOP class, SOP instance) of every reference."""
    return {
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        for element in dataset
        if element.VR == "SQ"
        for item in _items(element.value)
        if "ReferencedSOPInstanceUID" in item
    }


def _items(sequence: Any) -> Iterator[Dataset]:
    for item in sequence:
        yield item
        for element in item:
            if element.VR == "SQ":
                yield from _items(element.value)


@pytest.mark.parametrize(
    ("refuses", "used", "setting"),
    [({THREE_D}, COMPREHENSIVE, "comprehensive"), ({THREE_D, COMPREHENSIVE}, ENHANCED, "enhanced")],
    ids=["comprehensive", "enhanced"],
)
def test_fault_63_a_refused_report_arrives_in_the_next_class(
    make_room: MakeRoom, refuses: set[str], used: str, setting: str
) -> None:
    """The PACS holds one report, in the best class it takes, and all that it refers to; the event says what to set."""
    room = make_room(kinds=ALL, pacs=refuses)
    pacs, job = room.pacs["pacs"], room.reported(everything())
    room.send()
    assert SegmentationStorage in pacs.classes(), "the others travel in the association in which the report is refused"
    assert not set(SOP_CLASSES.values()) & pacs.classes().keys()
    room.deliver()
    assert pacs.classes() == {
        used: 1,
        SecondaryCaptureImageStorage: pacs.classes()[SecondaryCaptureImageStorage],
        SegmentationStorage: 1,
        ParametricMapStorage: 1,
        KeyObjectSelectionDocumentStorage: 1,
        GrayscaleSoftcopyPresentationStateStorage: 1,
    }
    report = next(each for each in pacs.results() if each.SOPClassUID == used)
    held = {(str(each.SOPClassUID), str(each.SOPInstanceUID)) for each in map(dcmread, pacs.files())}
    assert referenced(report) <= held
    assert {kind for kind, _ in referenced(report)} >= {SegmentationStorage, ParametricMapStorage}
    spot = next(each for each in reader.read_sr(report).findings if each.tracking_identifier == "Spot")
    assert [(each.graphic_type, each.points) for each in spot.regions] == [("POINT", ((20.5, 10.5),))]
    assert {path.name: dciodvfy(path) for path in pacs.files() if not path.is_symlink()} == {
        path.name: [] for path in pacs.files() if not path.is_symlink()
    }

    refused, arrived = room.reports(job)
    assert (refused.status, refused.successor, refused.attempts) == (REPLACED, arrived.id, 0)
    assert (arrived.status, arrived.sop_class_uid) == (DELIVERED, used)
    (told,) = room.said(Severity.WARNING)
    assert (told.kind, told.detail["destination"], told.detail["refused"]) == (
        "delivery.replaced",
        "pacs",
        "Comprehensive 3D SR",
    )
    assert f"set sr_class: {setting} for pacs" in told.detail["what_to_do"]
    assert history.open_alerts(room.site.ledger.database) == []
    assert len(pacs.proposed) == 2, "one association for the rest of the set, one for the report"


def test_fault_63_no_class_is_left(make_room: MakeRoom) -> None:
    """A dead letter with an alert that names every class; the pages are there, and no report was made in vain."""
    room = make_room(kinds=("sr", "sc"), pacs=set(SOP_CLASSES.values()))
    job = room.reported(reports.no_findings())
    room.deliver()
    pacs = room.pacs["pacs"]
    assert pacs.classes() == {SecondaryCaptureImageStorage: 1}
    (dead,) = room.reports(job)
    assert dead.status is DEAD
    (alert,) = history.open_alerts(room.site.ledger.database)
    assert (alert.kind, alert.place) == ("delivery.dead", f"{dead.destination} {dead.study_instance_uid}")
    assert "(Comprehensive 3D SR, Comprehensive SR, Enhanced SR)" in alert.detail["error"]
    pacs.refuses = {THREE_D}
    with room.site.ledger.transaction() as database:
        deliveries.again(database, room.site.clock.now(), dead.id, "a test")
    room.deliver()
    assert pacs.classes()[COMPREHENSIVE] == 1, "retried when it takes one of them, it goes as that"


def test_fault_63_accepted_in_negotiation_and_refused_as_object(make_room: MakeRoom) -> None:
    """0122, SOP class not supported: as if it had been refused in negotiation, one class after the other."""
    room = make_room(unsupported=frozenset({THREE_D, COMPREHENSIVE}), pacs=set())
    job = room.reported(reports.measured())
    room.deliver()
    assert [each.status for each in room.reports(job)] == [REPLACED, REPLACED, DELIVERED]
    assert room.pacs["pacs"].classes()[ENHANCED] == 1
    room.pacs["pacs"].unsupported.add(ENHANCED)
    again = room.reported(reports.measured(), instead_of=job)
    room.deliver()
    last = room.reports(again)[-1]
    assert last.status is DEAD
    assert "(Comprehensive 3D SR, Comprehensive SR, Enhanced SR)" in str(last.error)
    assert "0122" in str(last.error)


def test_destinations_of_one_profile_share_the_report_that_is_made_anew(make_room: MakeRoom) -> None:
    """Two PACS alike refuse the class, a third takes it: one new report for two, and the third has what was stated."""
    room = make_room(one={THREE_D}, two={THREE_D}, three=set())
    job = room.reported(reports.measured())
    room.deliver()
    held = {
        name: {(str(each.SOPClassUID), str(each.SOPInstanceUID)) for each in pacs.results()}
        for name, pacs in room.pacs.items()
    }
    assert held["one"] == held["two"] != held["three"]
    assert {kind for kind, _ in held["three"]} == {THREE_D}
    assert held["one"] == {(COMPREHENSIVE, room.reports(job, "one")[-1].item)}
    assert {path.read_bytes() for path in room.pacs["one"].folder.glob("2.25.*")} == {
        path.read_bytes() for path in room.pacs["two"].folder.glob("2.25.*")
    }


def test_a_rerun_names_the_report_that_arrived(make_room: MakeRoom) -> None:
    """Predecessor Documents has the one that was made anew, never the one that was refused; the next one too."""
    room = make_room(pacs={THREE_D})
    first = room.reported(reports.measured())
    room.deliver()
    arrived = room.reports(first)[-1].item
    second = room.reported(reports.no_findings(), instead_of=first)
    room.deliver()
    report = dcmread(room.pacs["pacs"].folder / f"{room.reports(second)[-1].item}.dcm")
    assert report.SOPClassUID == COMPREHENSIVE
    (study,) = report.PredecessorDocumentsSequence
    (named,) = [item for series in study.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
    assert (named.ReferencedSOPInstanceUID, named.ReferencedSOPClassUID) == (arrived, COMPREHENSIVE)


def test_that_there_is_no_result_is_told_in_another_class_too(make_room: MakeRoom) -> None:
    """What stands in place of a result that could not be reported says the same, and nothing of the result."""
    room = make_room(pacs={THREE_D})
    unit = Unit("mm", "millimetres of the longest diameter of the lesion in the plane of the image")
    length = Measurement(Code("410668003", "SCT", "Length"), 12.0, unit)
    finding = Finding(reports.NODULE, present=True, measurements=(length,))
    room.reported(Result(ResultStatus.FINDINGS, "A length.", (finding,)))
    room.deliver()
    (report,) = [each for each in room.pacs["pacs"].results() if each.Modality == "SR"]
    read = reader.read_sr(report)
    assert (report.SOPClassUID, report.CompletionFlag, read.findings) == (COMPREHENSIVE, "PARTIAL", ())
    assert ENGLISH.not_reportable in read.summary


STEPS = {
    "refusal_written_not_committed": (fallbacks, "refused"),
    "file_written_before_rows": (ObjectMaker, "report_alone"),
    "rows_written_not_committed": (fallbacks, "replaced"),
}


@pytest.mark.parametrize("step", STEPS)
def test_fault_55_killed_while_a_report_is_made_anew(
    make_room: MakeRoom, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step: after the restart the PACS gets the one report, and the ledger tells the one story."""
    room = make_room(pacs={THREE_D})
    job = room.reported(reports.measured())
    owner, name = STEPS[step]
    done = getattr(owner, name)

    def killed(*arguments: Any, **keywords: Any) -> Any:
        done(*arguments, **keywords)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(KeyboardInterrupt):
            room.deliver()
    room.restart()
    room.deliver()
    assert [(each.status, each.sop_class_uid) for each in room.reports(job)] == [
        (REPLACED, THREE_D),
        (DELIVERED, COMPREHENSIVE),
    ]
    assert room.pacs["pacs"].classes()[COMPREHENSIVE] == 1
    assert room.pacs["pacs"].received_again == 0
    assert len([each for each in room.said(Severity.WARNING) if each.kind == "delivery.replaced"]) == 1


def test_what_is_configured_meanwhile_neither_loses_nor_changes_the_report(make_room: MakeRoom) -> None:
    """Between refusal and report the destination goes, and comes back with other settings: it arrives as it was."""
    room = make_room(pacs={THREE_D})
    job = room.reported(reports.measured())
    room.send()
    stated = room.settings["pacs"]
    room.configure({"other": {"port": 1}})
    room.site.results.run_once()
    assert [each.status for each in room.reports(job)] == [REPLACED, DeliveryStatus.WAITING]
    room.configure({"pacs": stated | {"language": "ko", "sr_class": "enhanced"}})
    room.deliver()
    (report,) = [each for each in room.pacs["pacs"].results() if each.Modality == "SR"]
    assert report.SOPClassUID == COMPREHENSIVE
    assert reader.read_sr(report).summary == reports.measured().summary
    assert "eng" in str(report.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning).lower()


def test_what_stops_a_result_stops_a_report_that_is_to_be_made_anew(make_room: MakeRoom) -> None:
    """Superseded by a newer result, or its study held: nothing takes its place."""
    room = make_room(pacs={THREE_D})
    first = room.reported(reports.measured())
    room.send()
    ledger, clock = room.site.ledger, room.site.clock
    with ledger.transaction() as database:
        studies.hold(database, clock.now(), reports.STUDY_UID, "two patients")
    room.site.results.run_once()
    assert [each.status for each in room.reports(first)] == [DeliveryStatus.REFUSED]
    with ledger.transaction() as database:
        studies.unhold(database, clock.now(), reports.STUDY_UID, "a test")
    second = room.site.ended(reports.no_findings(), instead_of=first)
    room.deliver()
    assert [each.status for each in room.reports(first)] == [DeliveryStatus.SUPERSEDED]
    assert [each.status for each in room.reports(second)] == [REPLACED, DELIVERED]
    assert room.pacs["pacs"].classes()[COMPREHENSIVE] == 1


def test_a_report_made_anew_too_late_is_withheld_as_the_other_would_have_been(make_room: MakeRoom) -> None:
    """The rule lets results expire, and the node was away between refusal and report."""
    room = make_room(pacs={THREE_D})
    clock = room.site.clock
    expires = clock.now() + timedelta(hours=2)
    job = room.reported(reports.measured(), terms=Terms(expires_at=expires, when_late="withhold"))
    room.send()
    clock.pass_(hours=3)  # type: ignore[attr-defined]  # a HandClock
    room.deliver()
    assert [each.status for each in room.reports(job)] == [REPLACED, DeliveryStatus.WITHHELD]
    assert room.pacs["pacs"].results() == []


@pytest.mark.parametrize("what", ["the_result_is_gone", "made_before_the_update"])
def test_what_cannot_be_made_anew_is_a_dead_letter_that_says_why(make_room: MakeRoom, what: str) -> None:
    """An alert with the reason, nothing tried for ever."""
    room = make_room(pacs={THREE_D})
    job = room.reported(reports.measured())
    if what == "made_before_the_update":
        room.site.ledger.database.execute("UPDATE objects SET encoding=''")
    else:
        shutil.rmtree(room.site.data_folder.data / str(room.site.get(job).result))
    room.deliver()
    (dead,) = room.reports(job)
    assert dead.status is DEAD
    (alert,) = history.open_alerts(room.site.ledger.database)
    expected = {
        "the_result_is_gone": "takes no Comprehensive 3D SR: to be re-encoded as Comprehensive SR, which failed: ",
        "made_before_the_update": "pacsnode retry JOB",
    }
    assert expected[what] in alert.detail["error"]
    assert objects.of_job(room.site.ledger.database, job.id)
