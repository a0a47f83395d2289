"""The images that a job's objects are made from."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from node.results.source import files
from node.results.source.files import SourceFiles
from node.store import intact
from tests.support.job_site import Site


def test_images_of_jobs_that_are_verified_at_the_same_time_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two results are encoded side by side: each is made from the images of its own study, however their steps fall."""
    site = Site(tmp_path)
    work = {}
    for study in ("1.2.3.1", "1.2.3.2"):
        receipts = site.receive(2, study=study)
        site.complete(study)
        work[study] = (site.job("lungs", receipts, study=study), tuple(map(site.spool.find, receipts)))
    sources, verify = SourceFiles(site.ledger, site.spool, site.clock), intact.verify
    first_is_half_done, second_is_done = threading.Event(), threading.Event()

    def slowly(path: Path, *of: Any) -> None:
        if path == work["1.2.3.1"][1][1]:
            first_is_half_done.set()
            assert second_is_done.wait(30)
        verify(path, *of)

    monkeypatch.setattr(files.intact, "verify", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sources.of, work["1.2.3.1"][0], only_says_why=False)
        assert first_is_half_done.wait(30)
        assert sources.of(work["1.2.3.2"][0], only_says_why=False) == work["1.2.3.2"][1]
        second_is_done.set()
        assert first.result(30) == work["1.2.3.1"][1]
