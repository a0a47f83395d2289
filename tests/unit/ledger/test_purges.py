"""Images that go: what is kept of them, what stays, and that a crash may part the steps."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from node.clock import to_text
from node.errors import NotFoundError, PermanentError
from node.ledger import deliveries, dismissals, events, instances, purges, strays, studies, tallies
from node.ledger.database import Ledger
from node.ledger.instances import InstanceStatus
from node.ledger.purges import PurgeKind
from node.ledger.studies import StudyImages
from tests.support.sites import retained
from tests.unit.ledger.conftest import NOW

STUDY = "1.2"
SENT = (
    "INSERT INTO deliveries (kind, item, sop_class_uid, study_instance_uid, file, receipt, destination, status,"
    f" attempts, refusals, not_before, enqueued_at) VALUES ('image',?,'1','1.2',?,?,'pacs','delivered',1,0,"
    f"'{to_text(NOW)}','{to_text(NOW)}')"
)


def fill(ledger: Ledger, count: int, *, first: int = 0, series: str = "1.2.1") -> None:
    """Instances of the study, each forwarded to the PACS."""
    with ledger.transaction() as database:
        for number in range(first, first + count):
            receipt, uid = f"{number:032x}", f"1.2.1.{number}"
            instances.insert(database, retained.instance(receipt, sop_instance_uid=uid, series_instance_uid=series))
            database.execute("INSERT INTO headers VALUES (?,?,x'00')", [receipt, STUDY])
            database.execute(SENT, [uid, receipt, receipt])


def begun(ledger: Ledger) -> purges.Purge:
    with ledger.transaction() as database:
        return purges.begin(database, NOW, STUDY, PurgeKind.IMAGES, "older than 30 days")


def test_a_study_that_went_leaves_a_line_a_series(ledger: Ledger) -> None:
    """Counts, bytes, digest, and what was delivered are kept; the rows are not; the study and its history stay."""
    fill(ledger, purges.SLICE + 3)
    fill(ledger, 2, first=5000, series="1.2.2")
    purge = begun(ledger)
    assert studies.get(ledger.database, STUDY).images is StudyImages.PURGING
    assert len(purges.receipts(ledger.database, purge)) == purges.SLICE + 5
    purges.finish(ledger, NOW + timedelta(minutes=1), STUDY)
    database = ledger.database
    assert studies.get(database, STUDY).images is StudyImages.GONE
    first, second = purges.series_of(database, purge.id)
    assert (first.series_instance_uid, first.instances) == ("1.2.1", purges.SLICE + 3)
    assert second.delivered == {"pacs": 2}
    lines = "".join(f"1.2.1.{number} d{number:032x}\n" for number in (5000, 5001))
    assert second.digest == hashlib.sha256(lines.encode()).hexdigest()
    for table in ("instances", "headers", "deliveries"):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert tallies.wrong(database) == []
    kinds = [event.kind for event in events.of_study(database, STUDY)]
    assert kinds[-2:] == ["study.purging", "study.gone"]


def test_no_delivery_has_the_number_of_one_that_went(ledger: Ledger) -> None:
    """Events and `retry` name it: the same study, sent again after all others went, is other deliveries."""
    fill(ledger, 2)
    (last,) = ledger.database.execute("SELECT max(id) FROM deliveries").fetchone()
    begun(ledger)
    purges.finish(ledger, NOW, STUDY)
    fill(ledger, 1, first=9)
    assert ledger.database.execute("SELECT id FROM deliveries").fetchone()[0] > last


def test_what_arrives_while_a_study_goes_stays(ledger: Ledger) -> None:
    """A later receipt is not of the purge: its rows stay, and the study's images are here in the end."""
    fill(ledger, 2)
    begun(ledger)
    fill(ledger, 1, first=9)
    purges.finish(ledger, NOW, STUDY)
    database = ledger.database
    assert [each.sop_instance_uid for each in instances.of_study(database, STUDY)] == ["1.2.1.9"]
    assert studies.get(database, STUDY).images is StudyImages.HERE
    assert len(deliveries.of_study(database, STUDY)) == 1


def set_aside(ledger: Ledger, receipt: str, study: str | None = STUDY) -> None:
    with ledger.transaction() as database:
        instances.insert(database, retained.instance(receipt, status=InstanceStatus.CONFLICT, study_instance_uid=study))


def dismiss(ledger: Ledger, study: str = STUDY) -> int:
    with ledger.transaction() as database:
        return dismissals.dismiss(database, NOW, InstanceStatus.CONFLICT, study, "os:kim")


def test_what_is_set_aside_after_a_purge_is_a_new_question(ledger: Ledger) -> None:
    """The rows that a person looked at are gone, and SQLite gives their numbers again."""
    fill(ledger, 2)
    set_aside(ledger, "a")
    dismiss(ledger)
    begun(ledger)
    purges.finish(ledger, NOW, STUDY)
    set_aside(ledger, "b")
    assert dismiss(ledger) == 1


def test_what_was_looked_at_while_a_study_goes_stays_so(ledger: Ledger) -> None:
    """It arrived after the purge began, and its row stays."""
    fill(ledger, 2)
    begun(ledger)
    set_aside(ledger, "f" * 32)
    dismiss(ledger)
    purges.finish(ledger, NOW, STUDY)
    with pytest.raises(NotFoundError):
        dismiss(ledger)


def test_what_is_set_aside_of_no_study_after_the_others_went_is_a_new_question(ledger: Ledger) -> None:
    """As of a study."""
    set_aside(ledger, "a", None)
    dismiss(ledger, "")
    with ledger.transaction() as database:
        strays.removed(database, NOW, ["a"])
    set_aside(ledger, "b", None)
    assert dismiss(ledger, "") == 1


def test_a_purge_goes_on_after_a_crash_between_two_slices(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines were kept before the first row went, and are those of all instances."""
    fill(ledger, purges.SLICE * 2)
    purge = begun(ledger)
    remove, calls = purges._remove_some, []

    def crash_at_the_second(*arguments: object) -> bool:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return remove(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(purges, "_remove_some", crash_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        purges.finish(ledger, NOW, STUDY)
    assert [each.id for each in purges.under_way(ledger.database)] == [purge.id]
    purges.finish(ledger, NOW, STUDY)
    (line,) = purges.series_of(ledger.database, purge.id)
    assert line.instances == purges.SLICE * 2
    assert purges.of_study(ledger.database, STUDY)[0].instances == purges.SLICE * 2


def test_a_study_goes_once(ledger: Ledger) -> None:
    """Nothing begins for a study whose images are going, are gone, or never came."""
    with pytest.raises(PermanentError), ledger.transaction() as database:
        purges.begin(database, NOW, "1.9", PurgeKind.IMAGES, "")
    fill(ledger, 1)
    begun(ledger)
    with pytest.raises(PermanentError):
        begun(ledger)
    purges.finish(ledger, NOW, STUDY)
    with pytest.raises(PermanentError):
        begun(ledger)
