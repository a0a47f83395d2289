"""Data folders that earlier releases left, and the stages of today over one of them.

Each zip in `unit/serve/upgrade` was made by the program at the commit of its name, out of the same seven events: study
1.2.3.1 was reported and waits to be sent, 1.2.3.2 has a result that is not encoded, 1.2.3.3 has a job that waits,
1.2.3.4 is complete and undecided, 1.2.3.5 is being received, 1.2.3.6 waits to be indexed, with a second 1.2.3.1.1.1 of
other pixels; and one object was cut off half-way. From 2f7d039 on the rule has a step that comes after the first; the
newest also has a request for storage commitment in its journal.
"""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path

from node.commit.stage import CommitStage
from node.config.models import Configuration
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import jobs
from node.ledger.job import Job
from node.results.stage import ResultsStage
from node.route.stage import RouteStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from node.store.journal import Journal
from tests.support.clocks import HandClock
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import Site
from tests.support.wait import until

FOLDER = Path(__file__).parents[2] / "unit" / "serve" / "upgrade"
RELEASES = ("252a44c", "2f7d039", "c6c8570")
STUDIES = tuple(f"1.2.3.{number}" for number in range(1, 7))
_AFTER = {"when_result": {"has": "99TEST:1"}}


def unpack(release: str, folder: Path) -> Path:
    """The data folder as that release left it, in `folder`."""
    data = folder / "data"
    with zipfile.ZipFile(FOLDER / f"{release}.zip") as kept:
        kept.extractall(data)
    return data


class UpgradedSite(Site):
    """Today's stages on the data folder of an earlier release."""

    def __init__(self, release: str, folder: Path, reader: HeaderReader) -> None:
        unpack(release, folder)
        super().__init__(folder, HandClock(datetime(2026, 3, 2, tzinfo=UTC)))
        for name in ("quiet", "second"):
            self.python_plugin(name)
        settings = {"host": "127.0.0.1", "port": 11199}
        self.configuration = Configuration.model_validate(
            {
                "node": {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "data": str(self.data_folder.data)},
                "modalities": {"ct1": {"ae_title": "CT1", "storage_commitment": settings}},
                "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113}},
                "plugins": {name: {"folder": str(use.folder)} for name, use in self.uses.items()},
                "rules": [_rule(release)],
            }
        )
        plugins = self.catalogue()
        self.index = IndexStage(self.node, self.configuration, reader)
        self.route = RouteStage(self.node, self.configuration, lambda _: plugins)
        self.workers = WarmWorkers(self.data_folder.work)
        self.runs = RunStage(self.node, with_slots(1), lambda _: plugins, self.workers)
        self.results = ResultsStage(self.node, self.configuration)
        self.journal = Journal(self.data_folder.data)
        self.commit = CommitStage(self.node, self.journal, self.configuration)

    def close(self) -> None:
        """End what runs, but for the header reader."""
        self.runs._stop(1)
        self.workers.close()
        self.results.close()

    def go_on(self) -> None:
        """Every stage, until no study is under way."""
        self.index.run_once()
        self.clock.pass_(minutes=10)  # type: ignore[attr-defined]
        self.index.run_once()
        self.route.run_once()
        until(self._is_run)
        self.results.run_once()

    def _is_run(self) -> bool:
        self.runs.run_once()
        self.route.run_once()
        return all(job.outcome is not None for study in STUDIES for job in self.jobs(study))

    def jobs(self, study: str) -> list[Job]:
        """Its jobs, oldest first."""
        return jobs.of_study(self.ledger.database, study)


def _rule(release: str) -> dict[str, object]:
    steps = [{"plugin": "quiet"}, {"plugin": "second", "after": "quiet", **_AFTER}]
    return {
        "name": "all-ct",
        "description": "Is the chest quiet?",
        "when": {"Modality": "CT"},
        "choose": {"where": {"Modality": "CT"}},
        "run": "quiet" if release == RELEASES[0] else steps,
        "send": ["pacs"],
        "mode": "pilot",
    }
