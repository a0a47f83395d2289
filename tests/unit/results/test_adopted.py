"""A destination has the study under another patient or order: the same result, re-encoded under that, or held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ComprehensiveSRStorage, EnhancedSRStorage

from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.ledger import adoptions, alerts, deliveries, identities, job_files, studies, withdrawals
from node.ledger.delivery import DeliveryStatus
from node.results.adopted_results import AdoptedResults
from node.retain import removal
from tests.support import history
from tests.support.sites.adopting_site import STUDY, AdoptingSite


@pytest.fixture
def node(tmp_path: Path) -> Iterator[AdoptingSite]:
    made = AdoptingSite(tmp_path)
    yield made
    made.site.results.close()


def test_what_the_archive_says_twice_is_adopted(node: AdoptingSite) -> None:
    """Nothing goes before the second answer; then each object has the archive's patient and order, and its own UIDs."""
    job = node.report()
    made = {str(dataset.SOPInstanceUID) for _, dataset in node.site.objects(job)}
    node.merged(AccessionNumber="ARCHIVE-ACC")
    node.pass_(1)
    node.pass_(30)
    assert (node.archive.got, node.statuses()) == ([], [DeliveryStatus.WAITING])
    node.pass_(31)
    node.pass_(121)
    assert len(node.archive.got) == len(made)
    for dataset in node.archive.got:
        assert (dataset.PatientID, dataset.PatientName, dataset.AccessionNumber) == (
            "MERGED-1",
            "Archive^Name",
            "ARCHIVE-ACC",
        )
        assert dataset.PatientBirthDate == node.images["PatientBirthDate"]
        assert dataset.StudyInstanceUID == STUDY
        assert str(dataset.SOPInstanceUID) not in made
        assert "RequestAttributesSequence" not in dataset, "the request that the images answer is of the other order"
    assert node.statuses() == [DeliveryStatus.DELIVERED, DeliveryStatus.SUPERSEDED]
    assert withdrawals.listed(node.site.ledger.database) == [], "nothing was there under the older identity"
    (event,) = [each for each in history.latest(node.site.ledger.database, 200) if each.kind == "identity.adopted"]
    assert (event.actor, event.detail["destination"]) == ("node", "pacs")
    assert "MERGED" not in str(event.detail), "events name no patient"


def test_an_archive_that_changes_its_mind_between_the_answers_is_not_believed(node: AdoptingSite) -> None:
    """Held, with both sides kept for a person."""
    node.report()
    node.merged()
    node.pass_(1)
    node.merged(PatientID="MERGED-2")
    node.pass_(61)
    assert (node.archive.got, node.statuses()) == ([], [DeliveryStatus.HELD])
    (why,) = node.holds()
    assert (
        why == "pacs has this study under another PatientID; it is not adopted, because it said something else before"
    )
    known = identities.get(node.site.ledger.database, STUDY, "pacs")
    assert known is not None
    assert (known.ours["PatientID"], known.theirs[0]["PatientID"]) == (node.images["PatientID"], "MERGED-2")


def test_an_archive_that_takes_it_back_gets_the_result_as_it_was_made(node: AdoptingSite) -> None:
    """The second answer agrees: nothing is re-encoded."""
    job = node.report()
    node.merged()
    node.pass_(1)
    node.archive.says = node.images
    node.pass_(61)
    assert {str(each.SOPInstanceUID) for each in node.archive.got} == {
        str(dataset.SOPInstanceUID) for _, dataset in node.site.objects(job)
    }
    assert adoptions.newest(node.site.ledger.database, STUDY, "pacs") is None


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"PatientBirthDate": "19010101"}, "PatientBirthDate differ"),
        ({"PatientSex": "X"}, "PatientSex differ"),
        ({"PatientBirthDate": ""}, "PatientBirthDate is not stated on both sides"),
        ({"PatientName": ""}, "PatientName is not stated on both sides"),
        ({"PatientID": "A\\B"}, "it states several values of PatientID"),
    ],
)
def test_where_it_may_be_another_person_a_person_decides(node: AdoptingSite, says: dict[str, str], why: str) -> None:
    """Held at the first answer, and the reason says which attribute, never its value."""
    node.report()
    node.merged(**says)
    node.pass_(1)
    assert (node.archive.got, node.statuses()) == ([], [DeliveryStatus.HELD])
    (held,) = node.holds()
    assert held.endswith(f"it is not adopted, because {why}")


def test_without_the_setting_it_is_held(tmp_path: Path) -> None:
    """`hold` is the default, and says what it always said."""
    node = AdoptingSite(tmp_path, "hold")
    node.report()
    node.merged()
    node.pass_(1)
    assert node.holds() == {"pacs has this study under another PatientID"}
    node.site.results.close()


def test_never_while_a_conflict_is_open(node: AdoptingSite) -> None:
    """The images themselves are in question: which of the two the archive means, a person says."""
    node.report()
    with node.site.ledger.transaction() as database:
        database.execute("UPDATE instances SET status='conflict' WHERE rowid=(SELECT max(rowid) FROM instances)")
    node.merged()
    node.pass_(1)
    (held,) = node.holds()
    assert held.endswith("it is not adopted, because a conflict of the study is open")


def test_a_study_that_is_held_between_the_answers_is_not_adopted(node: AdoptingSite) -> None:
    """Nothing of a held study is asked or sent."""
    node.report()
    node.merged()
    node.pass_(1)
    with node.site.ledger.transaction() as database:
        studies.hold(database, node.site.clock.now(), STUDY, "a test")
    node.pass_(61)
    assert adoptions.newest(node.site.ledger.database, STUDY, "pacs") is None
    assert node.archive.got == []


def test_what_was_delivered_before_is_listed_for_withdrawal_and_made_again(node: AdoptingSite) -> None:
    """A second result meets the merged patient: both are under it in the end; the first one's objects are listed."""
    first = node.report()
    node.pass_(1)
    before = len(node.archive.got)
    node.archive.got.clear()
    node.merged()
    second = node.report("another rule")
    for seconds in (1, 61, 121):
        node.pass_(seconds)
    listed = withdrawals.listed(node.site.ledger.database)
    assert [(each.destination, each.results) for each in listed] == [("pacs", before)]
    assert {dataset.PatientID for dataset in node.archive.got} == {"MERGED-1"}
    rows = deliveries.of_study(node.site.ledger.database, STUDY)
    assert {each.job for each in rows if not adoptions.is_outdated(node.site.ledger.database, each)} == {
        first.id,
        second.id,
    }


def test_a_result_whose_files_retention_deleted_is_not_made_again(node: AdoptingSite) -> None:
    """It is listed for withdrawal, a person is told what to do, and nothing is written where its files were."""
    first = node.report()
    node.pass_(1)
    folder = node.site.data_folder.results / first.id
    removal.tree(folder)
    with node.site.ledger.transaction() as database:
        job_files.begin(database, first.id)
        job_files.end(database, node.clock.now(), first.id, files=1, octets=1)
    node.archive.got.clear()
    node.merged()
    node.report("another rule")
    for seconds in (1, 61, 121, 121):
        node.pass_(seconds)
    assert not folder.exists()
    assert {dataset.PatientID for dataset in node.archive.got} == {"MERGED-1"}
    (event,) = history.of_kind(node.site.ledger.database, "job.refused-for")
    assert event.job == first.id
    assert "pacsnode retry" in str(event.detail)
    assert adoptions.open_ones(node.site.ledger.database) == []


def test_what_cannot_be_re_encoded_is_refused_once_while_another_result_is_tried_again(
    node: AdoptingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one fails by an unexpected error: eight tries, ever later, then dead letters, alerts, and silence."""
    first = node.report()
    node.pass_(1)
    database = node.site.ledger.database
    with node.site.ledger.transaction() as writing:
        job_files.begin(writing, first.id)
        job_files.end(writing, node.clock.now(), first.id, files=1, octets=1)
    node.merged()
    second = node.report("another rule")
    node.pass_(1)

    def broken(*_: object) -> None:
        raise KeyError("a mistake of the program")

    with monkeypatch.context() as patched:
        patched.setattr(AdoptedResults, "_enqueue", broken)
        for _ in range(200):
            node.pass_(120)
    refused = [event.job for event in history.of_kind(database, "job.refused-for")]
    assert refused == [first.id, second.id]
    assert {each.status for each in deliveries.of_job(database, second.id)} == {DeliveryStatus.DEAD}
    kinds = {each.kind for each in alerts.every(database, closed=False)}
    assert {"job.refused-for", "delivery.dead"} <= kinds
    assert adoptions.open_ones(database) == []
    dead = deliveries.of_job(database, second.id)[0]
    with node.site.ledger.transaction() as writing:
        actions.again(writing, dead, node.clock.now(), Actor(ActorKind.OS, "kim"))
    node.pass_(121)
    node.pass_(121)
    assert "MERGED-1" in {dataset.PatientID for dataset in node.archive.got}


def test_a_later_result_is_made_under_the_adopted_identity_at_once(node: AdoptingSite) -> None:
    """It is not held first: the destination is known to have the study under that."""
    node.report()
    node.merged()
    for seconds in (1, 61, 121):
        node.pass_(seconds)
    node.archive.got.clear()
    node.report("another rule")
    node.pass_(1)
    assert {dataset.PatientID for dataset in node.archive.got} == {"MERGED-1"}


def test_a_node_that_dies_after_the_adoption_goes_on(node: AdoptingSite) -> None:
    """What is outdated is never sent meanwhile, whatever the archive says, and is re-encoded after the restart."""
    node.report()
    node.merged()
    node.pass_(1)
    node.clock.pass_(seconds=61)
    node.outbox.run_once()  # adopted; the process ends before anything is re-encoded
    assert adoptions.open_ones(node.site.ledger.database)
    node.archive.says = node.images  # even an archive that agrees with the outdated objects does not get them
    node.restart()
    node.clock.pass_(seconds=121)
    node.outbox.run_once()
    assert node.archive.got == []
    node.merged()
    node.site.results.run_once()
    node.pass_(121)
    assert {dataset.PatientID for dataset in node.archive.got} == {"MERGED-1"}
    assert adoptions.open_ones(node.site.ledger.database) == []


def test_what_dies_between_encoding_and_the_outbox_is_made_again_once(
    node: AdoptingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGKILL: files are there that no row names; the next start makes the same objects, each is sent once."""
    node.report()
    node.merged()
    node.pass_(1)
    node.clock.pass_(seconds=61)
    node.outbox.run_once()

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr(AdoptedResults, "_enqueue", killed)
        with pytest.raises(SystemExit):
            node.site.results.run_once()
    assert node.statuses() == [DeliveryStatus.WAITING]
    node.restart()
    node.site.results.run_once()
    node.pass_(121)
    sent = [str(dataset.SOPInstanceUID) for dataset in node.archive.got]
    assert len(sent) == len(set(sent))
    assert {dataset.PatientID for dataset in node.archive.got} == {"MERGED-1"}
    node.pass_(600)
    assert len(node.archive.got) == len(sent)


def test_a_report_whose_class_is_refused_keeps_the_adopted_identity(node: AdoptingSite) -> None:
    """It is re-encoded in another class, beside the other objects that were made under that identity."""
    node.archive.refuses = ComprehensiveSRStorage
    node.report()
    node.merged()
    for seconds in (1, 61, 121, 121):
        node.pass_(seconds)
    reports = [dataset for dataset in node.archive.got if dataset.Modality == "SR"]
    assert [dataset.SOPClassUID for dataset in reports] == [EnhancedSRStorage]
    assert {dataset.PatientID for dataset in node.archive.got} == {"MERGED-1"}


def test_another_destination_gets_the_result_as_it_was(tmp_path: Path) -> None:
    """It has the study under the patient of the images: that is its identity of the study."""
    node = AdoptingSite(tmp_path, others=("research",))
    job = node.report()
    node.merged()
    for seconds in (1, 61, 121):
        node.pass_(seconds)
    rows = deliveries.of_study(node.site.ledger.database, STUDY)
    for each in rows:
        if each.destination == "research":
            assert each.status is DeliveryStatus.WAITING
            assert not adoptions.is_outdated(node.site.ledger.database, each)
    assert {each.destination for each in rows} == {"pacs", "research"}
    assert adoptions.newest(node.site.ledger.database, job.study_instance_uid, "research") is None
    node.site.results.close()
