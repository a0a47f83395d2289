"""Images that come when those of their study were removed: the same, others, corrected ones, and during the purge."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless

from node.index import corrections
from node.index.children import HeaderReader
from node.ledger import facts, gone_images, instances, purges, reindexings, withdrawals
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobStatus
from node.ledger.studies import StudyImages, StudyStatus
from tests.support import history
from tests.support.images.receipts import SERIES, STUDY, arrive, compressed, ct, rejection_note
from tests.support.sites.gone_site import GoneSite, begin, purge, rule, slices, unlink


@pytest.fixture
def site(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    """A study of three slices, analysed and removed."""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    site.reported(site.jobs()[0])
    site.thirty_days_later()
    return site


def statuses(site: GoneSite) -> list[str]:
    return [str(each.status) for each in instances.of_study(site.ledger.database, STUDY, list(InstanceStatus))]


def files(site: GoneSite) -> int:
    return len(list(site.data_folder.store.glob("*/*.dcm")))


def counted(site: GoneSite) -> dict[str, list[str]]:
    """Series → SOP Instance UIDs of the newest facts."""
    kept = facts.of_study(site.ledger.database, STUDY, site.study().revision)
    return {each.series_instance_uid: sorted(one.sop_instance_uid for one in each.instances) for each in kept}


def test_a_study_that_went_is_known_by_its_facts(site: GoneSite) -> None:
    """No row and no file is left; which images there were, and whose, is."""
    assert (site.study().images, statuses(site), files(site)) == (StudyImages.GONE, [], 0)
    assert sorted(gone_images.stand_ins(site.ledger.database, STUDY)) == [f"{SERIES}.{number}" for number in (1, 2, 3)]
    found = gone_images.arrivals(site.ledger.database, STUDY)
    assert (len(found.receipts), found.gone) == (3, found.receipts)
    assert {source.calling_ae_title for source in found.sources} == {"CT1"}


def test_the_same_study_again_is_a_new_revision_with_files(site: GoneSite) -> None:
    """Nothing is a duplicate without a file, nothing a conflict; equal inputs are `unchanged`: nothing runs again."""
    site.send(*slices(1, 2, 3))
    assert statuses(site) == ["current"] * 3
    assert (files(site), site.study().images, site.study().revision) == (3, StudyImages.HERE, 2)
    assert gone_images.receipts(site.ledger.database, STUDY) == {}
    assert site.outcomes() == ["matched", "unchanged"]
    assert [job.status for job in site.jobs()] == [JobStatus.REPORTED]
    assert site.history().count("study.came-again") == 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, JPEGLSLossless])
def test_the_same_study_in_another_transfer_syntax(site: GoneSite, syntax: str) -> None:
    """What was removed cannot be compared with it byte for byte; that alone runs nothing again."""
    images = slices(1, 2, 3)
    if syntax == JPEGLSLossless:
        images = [compressed(each, syntax) for each in images]
    site.send(*images, syntax=syntax)
    assert statuses(site) == ["current"] * 3
    assert site.outcomes() == ["matched", "unchanged"]
    assert len(site.jobs()) == 1
    assert history.open_alerts(site.ledger.database) == []


def test_a_retry_of_the_sender_is_a_duplicate_of_what_is_here(site: GoneSite) -> None:
    """Each object that came twice since is stored once."""
    site.send(*slices(1, 1, 2, 3))
    assert sorted(statuses(site)) == ["current"] * 3 + ["duplicate"]
    assert len(site.jobs()) == 1


def test_a_late_slice_of_a_study_that_is_gone(site: GoneSite) -> None:
    """The revision has all four; the rule wants the one that is here and three that are not: nothing is left out."""
    site.send(ct(4))
    assert counted(site) == {SERIES: [f"{SERIES}.{number}" for number in (1, 2, 3, 4)]}
    assert (statuses(site), site.study().images) == (["current"], StudyImages.HERE)
    assert site.outcomes() == ["matched", "matched"]
    assert len(site.jobs()[-1].inputs[0].receipts) == 4


def test_a_late_object_that_no_rule_chooses_runs_nothing(site: GoneSite) -> None:
    """Such as a report: the rule would choose the same images as before, though they are gone."""
    site.send(ct(1, Modality="PR", SOPInstanceUID="1.2.3.1.7.1", SeriesInstanceUID="1.2.3.1.7"))
    assert site.outcomes() == ["matched", "unchanged"]
    assert len(site.jobs()) == 1


def test_a_study_that_went_twice(site: GoneSite) -> None:
    """Each time what came is removed; all that ever counted is still known."""
    site.send(ct(4))
    with_late = site.jobs()[-1]
    assert site.seen_to(with_late) is None
    purge(site.node)
    assert (files(site), site.study().images) == (0, StudyImages.GONE)
    assert len(gone_images.stand_ins(site.ledger.database, STUDY)) == 4
    site.send(*slices(1, 2, 3, 4))
    assert site.outcomes()[-1] == "unchanged"


# --- another patient or order ---------------------------------------------------------------------------


def test_a_correction_of_a_study_that_is_gone(site: GoneSite) -> None:
    """The same images under another patient: the study is held, its new files are set aside, and nothing runs."""
    site.send(*slices(1, 2, 3, PatientID="P2", PatientName="Kim^Cheolsu"))
    assert statuses(site) == ["correction"] * 3
    study = site.study()
    assert study.hold is not None
    assert "PatientID" in study.hold
    assert (study.patient_id, study.revision, study.images) == ("P1", 1, StudyImages.HERE)
    assert len(site.jobs()) == 1


def test_the_corrected_instances_are_taken_together(site: GoneSite) -> None:
    """All of them were sent again: they count, and the rules decide on them as on images that never were here."""
    site.use(rule(on_correction="take_newest"))
    with site.ledger.transaction() as database:
        database.execute("UPDATE jobs SET on_correction='take_newest'")
    site.send(*slices(1, 2, 3, PatientID="P2", PatientName="Kim^Cheolsu"))
    site.settle()
    assert statuses(site) == ["current"] * 3
    assert (site.study().patient_id, site.study().hold) == ("P2", None)
    assert site.outcomes() == ["matched", "matched"]
    assert len(site.jobs()) == 2


def test_a_part_of_the_corrected_instances_is_never_taken(site: GoneSite) -> None:
    """The others are gone, and of the first patient: two patients in one study."""
    site.send(*slices(1, 2, PatientID="P2"))
    assert not corrections.take_newest(site.ledger, site.clock.now(), STUDY)
    assert statuses(site) == ["correction"] * 2


def test_another_spelling_of_the_patient_is_no_correction(site: GoneSite) -> None:
    """A PACS may write names in capitals; the removed file cannot say so, its header can."""
    site.send(*slices(1, 2, 3, PatientName="HONG^GILDONG"))
    assert (statuses(site), site.study().hold) == (["current"] * 3, None)


def test_the_same_request_in_another_form_is_no_correction(tmp_path: Path, reader: HeaderReader) -> None:
    """Items of a sequence are compared by what they say: empty attributes and padding mean nothing."""
    requests = [Dataset(), Dataset()]
    for each, text in zip(requests, ("RP1", "RP1 "), strict=True):
        each.RequestedProcedureID = text
    requests[1].ScheduledProcedureStepDescription = ""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, RequestAttributesSequence=[requests[0]]))
    site.reported(site.jobs()[0])
    site.thirty_days_later()
    site.send(*slices(1, 2, RequestAttributesSequence=[requests[1]]))
    assert (statuses(site), site.study().hold) == (["current"] * 2, None)


def test_a_second_patient_in_a_study_that_is_gone_is_set_aside(site: GoneSite) -> None:
    """A new object under another Patient ID never counts in the study."""
    site.send(ct(9, PatientID="P2", PatientName="Kim^Cheolsu"))
    assert statuses(site) == ["conflict"]
    assert site.study().revision == 1
    assert [alert.kind for alert in history.open_alerts(site.ledger.database)] == ["instance.conflict"]


# --- rejection notes ------------------------------------------------------------------------------------


def test_a_rejection_note_for_images_that_are_gone(site: GoneSite) -> None:
    """What the result was made from is rejected: the study is decided again, without these."""
    site.send(rejection_note(slices(3)))
    assert "instances.rejected" in site.history()
    assert counted(site)[SERIES] == [f"{SERIES}.{number}" for number in (1, 2)]
    assert len(site.jobs()[-1].inputs[0].receipts) == 2


def test_rejected_images_that_come_again_stay_rejected(site: GoneSite) -> None:
    """Also when the note is gone, too."""
    site.send(rejection_note(slices(3)))
    purge(site.node)
    site.send(*slices(1, 2, 3))
    assert sorted(statuses(site)) == ["current", "current", "rejected"]


def test_a_rejection_of_another_patients_images_is_ignored(site: GoneSite) -> None:
    """The note names the study, but not its patient."""
    site.send(rejection_note(slices(3), PatientID="P2", PatientName="Kim^Cheolsu", PatientBirthDate="19700101"))
    assert len(gone_images.stand_ins(site.ledger.database, STUDY)) == 3
    assert withdrawals.of_study(site.ledger.database, STUDY) == []


# --- while they are being removed -------------------------------------------------------------------------


@pytest.mark.parametrize("unlinked", [False, True])
def test_the_study_comes_again_while_it_is_removed(tmp_path: Path, reader: HeaderReader, unlinked: bool) -> None:
    """What comes is no duplicate of files that go; it is complete once the purge is over, with its files."""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    site.reported(site.jobs()[0])
    begun = begin(site.node)
    if unlinked:
        unlink(site.node, begun)
    for each in slices(1, 2, 3):
        arrive(site.data_folder, each)
    site.settle()
    assert site.study().status is StudyStatus.RECEIVING
    if not unlinked:
        unlink(site.node, begun)
    purges.finish(site.ledger, site.clock.now(), STUDY)
    site.settle()
    assert (statuses(site), files(site)) == (["current"] * 3, 3)
    assert (site.study().images, site.study().revision) == (StudyImages.HERE, 2)
    assert site.outcomes() == ["matched", "unchanged"]


def test_a_file_that_was_left_behind_does_not_come_back(site: GoneSite) -> None:
    """Its row went, the file could not be removed: re-indexing the store removes it instead of half a study."""
    (receipt, *_) = gone_images.receipts(site.ledger.database, STUDY)
    other = arrive(site.data_folder, ct(1))
    path = site.data_folder.stored(receipt)
    path.parent.mkdir(exist_ok=True)
    site.data_folder.arrived(other).rename(path)
    with site.ledger.transaction() as database:
        reindexings.begin(database, site.clock.now(), newest_known="none", up_to=receipt)
    site.index = type(site.index)(site.node, site.configuration, site.index._reader)
    site.settle()
    assert (statuses(site), files(site), site.study().images) == ([], 0, StudyImages.GONE)
    assert not site.data_folder.waiting()
