"""What plugins returned is known again by the UIDs of its makers, and images stay images."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from sqlite_utils import Database as SchemaDatabase

from node.ledger import returned_objects
from node.ledger.database import Ledger
from node.ledger.returned_objects import ReturnedObjectRow
from node.ledger.schema.migrations import migrations
from tests.support.sites.job_site import STUDY, Site


def row_of(job: str, number: int = 1) -> ReturnedObjectRow:
    uid = f"1.2.276.0.99.{number}"
    return ReturnedObjectRow(job, number, uid, "1.2.3", "1.2.276", "SR", "ACME", marked=True, of_image=False)


def known(site: Site, row: ReturnedObjectRow) -> bool:
    uids = row.sop_instance_uid, row.sop_class_uid, row.series_instance_uid
    return returned_objects.is_known(site.ledger.database, *uids)


def test_rows_come_back_and_a_second_answer_of_the_job_replaces_them(tmp_path: Path) -> None:
    """An attempt that was settled twice leaves one row for each object."""
    site = Site(tmp_path)
    job = site.job("good", site.receive(2))
    rows = [row_of(job.id, 1), replace(row_of(job.id, 2), marked=False)]
    for _ in range(2):
        with site.ledger.transaction() as database:
            returned_objects.insert(database, rows)
    assert returned_objects.of_job(site.ledger.database, job.id) == rows


def test_an_object_is_known_by_its_uid_and_an_image_is_not_taken_for_one(tmp_path: Path) -> None:
    """A program that gives its object the UID of an image, received or given to it, does not claim that image."""
    site = Site(tmp_path)
    job = site.job("good", site.receive(2))
    rows = [
        row_of(job.id, 1),
        replace(row_of(job.id, 2), sop_instance_uid=f"{STUDY}.1.1"),
        replace(row_of(job.id, 3), sop_instance_uid="1.9.9", of_image=True),
    ]
    with site.ledger.transaction() as database:
        returned_objects.insert(database, rows)
    assert [known(site, each) for each in rows] == [True, False, False]


def test_an_image_that_comes_later_is_not_taken_for_the_object_that_claimed_its_uid(tmp_path: Path) -> None:
    """Class and series tell them apart: an image that was passed over would be seen by no rule."""
    site = Site(tmp_path)
    job = site.job("good", site.receive(2))
    claims = replace(row_of(job.id), sop_instance_uid="1.9.9", marked=False)
    with site.ledger.transaction() as database:
        returned_objects.insert(database, [claims])
    assert known(site, claims)
    assert not known(site, replace(claims, sop_class_uid="1.2.840.10008.5.1.4.1.1.2"))
    assert not known(site, replace(claims, series_instance_uid=f"{STUDY}.1"))


def test_a_uid_is_taken_by_an_image_and_never_by_the_job_itself(tmp_path: Path) -> None:
    """Of an object that is sent as it came; a marked one gets another UID anyway."""
    site = Site(tmp_path)
    job = site.job("good", site.receive(2))

    def is_taken(uid: str, *, marked: bool) -> bool:
        with site.ledger.transaction() as database:
            returned_objects.insert(database, [replace(row_of(job.id), sop_instance_uid=uid, marked=marked)])
            return returned_objects.is_uid_taken(database, job.id)

    assert is_taken(f"{STUDY}.1.1", marked=False)
    assert not is_taken(f"{STUDY}.1.1", marked=True)
    assert not is_taken("1.9.9", marked=False)


def test_a_ledger_of_the_schema_before_gets_the_table(tmp_path: Path) -> None:
    """What plugins returned before was not kept: the table is empty."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0036_returned")
    connection.close()
    ledger = Ledger(path)
    assert returned_objects.of_job(ledger.database, "a job") == []
    assert not returned_objects.is_known(ledger.database, "1.2.3", "1", "2")
