"""Schema 0028: jobs of earlier releases know which SOP instances they work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ledger import instances, jobs
from node.ledger.database import FILE, Ledger
from node.ledger.job import images_digest_of
from tests.support.sites.earlier import RELEASES, unpack


@pytest.mark.parametrize("release", RELEASES)
def test_jobs_of_earlier_releases_are_known_by_their_images(release: str, tmp_path: Path) -> None:
    """So a study that is deleted after the upgrade and comes again in another transfer syntax runs nothing again."""
    data = unpack(release, tmp_path)
    database = Ledger(data / FILE).database
    found = [jobs.get(database, row[0]) for row in database.execute("SELECT id FROM jobs").fetchall()]
    assert found
    for job in found:
        rows = [(given.role, instances.by_receipt(database, each)) for given in job.inputs for each in given.receipts]
        images = [(role, row.sop_instance_uid) for role, row in rows if row is not None]
        assert job.images_digest == images_digest_of(job.plugin, job.parameters, images, job.identity)
