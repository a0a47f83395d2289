"""A site whose studies retention removes: real images, the stages run by hand, an archive that a test plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import Dataset

from node.config.destinations import DicomDestination
from node.config.models import Configuration
from node.errors import TransientError
from node.fetch.stage import FetchStage
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import decisions, events, fetches, jobs, purges, studies
from node.ledger.job import Job, JobOutcome
from node.ledger.purges import Purge, PurgeKind
from node.ledger.studies import Study
from node.route.stage import RouteStage
from node.run.catalogue import SitePlugin
from node.run.removed_images import RemovedImages
from node.run.settle import Settler
from node.stage import Node
from rules.model import Rule
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.job_site import Site

PACS = DicomDestination.model_validate({"ae_title": "PACS", "host": "127.0.0.1", "port": 104})
BY_AGE = "images: 30d"


def rule(**fields: object) -> Rule:
    """Any CT series goes to the plugin `good`; its result to the PACS."""
    plain = {
        "name": "chest",
        "when": {"Modality": "CT"},
        "choose": {"take": "one", "where": {"Modality": "CT"}},
        "run": "good",
        "send": "pacs",
        "mode": "pilot",
    }
    return Rule.model_validate(plain | fields)


def purge(node: Node, study: str = STUDY) -> Purge:
    """Remove the images of a study as retention does."""
    begun = begin(node, study)
    unlink(node, begun)
    purges.finish(node.ledger, node.clock.now(), study)
    return purges.of_study(node.ledger.database, study)[-1]


def begin(node: Node, study: str = STUDY) -> Purge:
    """The first step: nothing was removed yet."""
    with node.ledger.transaction() as database:
        return purges.begin(database, node.clock.now(), study, PurgeKind.IMAGES, BY_AGE)


def unlink(node: Node, begun: Purge) -> None:
    """The second step."""
    for receipt in purges.receipts(node.ledger.database, begun):
        node.store.find(receipt).unlink()


class PlayedPacs:
    """Has what it was given, and sends it into the site when it is asked to."""

    def __init__(self, site: GoneSite) -> None:
        self._site = site
        self.has: list[Dataset] = []
        self.patient_id = "P1"
        self.moves: list[tuple[str, str]] = []
        self.loses = 0
        """How many of the images it does not send, and says so."""
        self.down = False
        self.syntax: Mapping[str, str] = {}

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> list[Mapping[str, str]]:
        if self.down:
            raise TransientError("pacs cannot be reached")
        found = {each.StudyInstanceUID for each in self.has}
        wanted = keys.get("StudyInstanceUID")
        plain = dict.fromkeys(keywords, "")
        return [
            plain | {"PatientID": self.patient_id, "StudyInstanceUID": uid, "StudyDate": "20260101"}
            for uid in sorted(found)
            if wanted in (None, uid)
        ]

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        found = {each.SeriesInstanceUID for each in self.has if each.StudyInstanceUID == study_instance_uid}
        return [dict.fromkeys(keywords, "") | {"SeriesInstanceUID": uid, "Modality": "CT"} for uid in sorted(found)]

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str, within: float) -> int | None:
        self.moves.append((study_instance_uid, series_instance_uid))
        sent = [each for each in self.has if each.SeriesInstanceUID == series_instance_uid]
        sent = sent[: len(sent) - self.loses]
        for each in sent:
            arrive(self._site.data_folder, each, calling="PACS", association="from-pacs", **self.syntax)
        return len(sent)


class GoneSite(Site):
    """The stages index, route and fetch, and what the run stage asks before it starts a job."""

    def __init__(self, folder: Path, reader: HeaderReader, *rules: Rule) -> None:
        super().__init__(folder)
        self.python_plugin("good")
        self.python_plugin("next")
        self.pacs = PlayedPacs(self)
        self.index = IndexStage(self.node, Configuration.model_validate({"node": {"time_zone": "UTC"}}), reader)
        self.use(*(rules or (rule(),)))

    def use(self, *rules: Rule) -> None:
        """From now on by these rules."""
        plain = Configuration.model_validate({"node": {"time_zone": "UTC", "completion": {"quiet": "60s"}}})
        self.configuration = plain.model_copy(update={"rules": rules, "destinations": {"pacs": PACS}})
        self.index.use(self.configuration)
        self.route = RouteStage(self.node, self.configuration, lambda _: self.catalogue())
        self.fetch = FetchStage("pacs", self.node, self.configuration, lambda *_: self.pacs)

    # --- what comes -----------------------------------------------------------------------------------

    def send(self, *images: Dataset, **how: str) -> None:
        """They arrive, the study is complete, and the rules decide."""
        for each in images:
            arrive(self.data_folder, each, **how)
        self.settle()

    def settle(self) -> None:
        """All that has arrived is indexed, complete and decided."""
        self.index.run_once()
        self.clock.pass_(seconds=400)  # type: ignore[attr-defined]
        self.index.run_once()
        self.route.run_once()

    def thirty_days_later(self, study: str = STUDY) -> Purge:
        """The study is removed."""
        self.clock.pass_(days=31)  # type: ignore[attr-defined]
        return purge(self.node, study)

    # --- what is asked --------------------------------------------------------------------------------

    def study(self, uid: str = STUDY) -> Study:
        found = studies.get(self.ledger.database, uid)
        assert found is not None
        return found

    def jobs(self, study: str = STUDY) -> list[Job]:
        return jobs.of_study(self.ledger.database, study)

    def outcomes(self, study: str = STUDY) -> list[str]:
        """Of the decisions, oldest first."""
        return [str(each.outcome) for each in decisions.of_study(self.ledger.database, study)]

    def fetches(self, study: str = STUDY) -> list[fetches.Fetch]:
        return fetches.of_study(self.ledger.database, study)

    def history(self, study: str = STUDY) -> list[str]:
        return [event.kind for event in events.of_study(self.ledger.database, study)]

    # --- jobs -----------------------------------------------------------------------------------------

    def done(self, job: Job) -> Job:
        """As if its plugin had found nothing."""
        with self.ledger.transaction() as database:
            jobs.started(database, self.clock.now(), job.id, {"name": "good", "version": "1"})
            jobs.ended(database, self.clock.now(), job.id, JobOutcome.NO_FINDINGS, f"results/{job.id}/plugin")
            return jobs.get(database, job.id)

    def reported(self, job: Job) -> Job:
        """Done, and all about it is sent."""
        done = self.done(job)
        self.route.run_once()
        with self.ledger.transaction() as database:
            jobs.reported(database, self.clock.now(), done.id, 0)
            return jobs.get(database, done.id)

    def plugin(self, name: str = "good") -> SitePlugin:
        return self.catalogue().find(name)

    def seen_to(self, job: Job) -> Job | None:
        """What the run stage does before it starts a job."""
        return RemovedImages(self.node, Settler(self.node)).see_to(job, self.plugin(), self.configuration)

    def fetched(self) -> None:
        """The archive is asked, what it sends arrives and is complete."""
        self.fetch.run_once()
        self.settle()
        self.clock.pass_(seconds=5)  # type: ignore[attr-defined]
        self.fetch.run_once()


def slices(*numbers: int, **changes: object) -> list[Dataset]:
    """Slices of the study."""
    return [ct(number, **changes) for number in numbers]
