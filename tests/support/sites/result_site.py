"""A data folder with real images, ended jobs and destinations, for tests of the stage `results`."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydicom import Dataset, dcmread

from node.config.models import Configuration
from node.deliver.ways.dimse import dimse
from node.ledger import deliveries, jobs, objects
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import Job, JobOutcome
from node.results import making
from node.results.encoder import Encoder
from node.results.stage import ResultsStage
from node.run import answer
from plugins import exchange
from plugins.contract import Result
from plugins.exchange import InputFile, InputSeries, PluginReference, Request, RequestFacts
from tests.support.images.receipts import encoded
from tests.support.results import reports
from tests.support.sites.job_site import Site

PACS = {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113}


class SharedEncoder(Encoder):
    """One for all sites of this process: to start it costs more than what a test encodes."""

    def close(self) -> None:
        """Its processes end with this one."""


SHARED_ENCODER = SharedEncoder()


class ResultSite(Site):
    """A site whose study is three CT images, and whose results go where `destinations` says."""

    def __init__(
        self,
        folder: Path,
        *,
        image: Dataset | None = None,
        encoder: Callable[[], Encoder] = lambda: SHARED_ENCODER,
        **destinations: dict[str, Any],
    ) -> None:
        super().__init__(folder)
        self.destinations = tuple(destinations) or ("pacs",)
        chosen = {name: PACS | changes for name, changes in destinations.items()} or {"pacs": PACS}
        node = {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "listen": {"host": "127.0.0.1", "port": 11112}}
        configuration = Configuration.model_validate({"node": node, "destinations": chosen})
        with patch.object(making, "Encoder", encoder):
            self.results = ResultsStage(self.node, configuration)
        self.receipts = self.receive(3, study=reports.STUDY_UID, series="2")
        self._uids = [f"{reports.STUDY_UID}.2.{number}" for number in (1, 2, 3)]
        for number, receipt in enumerate(self.receipts, start=1):
            header = reports.ct(number)
            for element in image or ():
                header[element.tag] = deepcopy(element)
            digest = self.write(receipt, str(header.SOPInstanceUID), encoded(header))
            with self.ledger.transaction() as database:
                database.execute("UPDATE instances SET digest=? WHERE receipt=?", [digest, receipt])
        self.complete(reports.STUDY_UID)

    def ended(self, result: Result, *, instead_of: Job | None = None, **fields: Any) -> Job:
        """A job that has ended with `result`, kept as the stage `run` keeps it; with `instead_of`, done again."""
        if instead_of is None:
            where = {"study": reports.STUDY_UID, "destinations": self.destinations}
            job = self.job("lung_density", self.receipts, **where | fields)
        else:
            with self.ledger.transaction() as database:
                job = jobs.again(database, self.clock.now(), instead_of.id, "a test")
        frame_of_reference = reports.FRAME_OF_REFERENCE
        files = tuple(InputFile(f"{uid}.dcm", uid, frame_of_reference_uid=frame_of_reference) for uid in self._uids)
        request = Request(
            job.id,
            PluginReference("lung_density", "1.0.0", "/plugins"),
            RequestFacts(reports.STUDY_UID),
            (InputSeries(f"{reports.STUDY_UID}.2", "CT", files),),
        )
        kept = self.keep(result, request, job.id)
        algorithm = asdict(reports.ALGORITHM)
        with self.ledger.transaction() as database:
            now = self.clock.now()
            jobs.started(database, now, job.id, algorithm)
            outcome = JobOutcome(result.status.value)
            return jobs.ended(database, now, job.id, outcome, str(kept.relative_to(self.data_folder.data)))

    def keep(self, result: Result, request: Request, job: str) -> Path:
        """The result folder of a job, with request.json as the plugin got it."""
        given = self.folder / "given" / job
        for series in request.series:
            for file in series.files:
                (given / "in").mkdir(parents=True, exist_ok=True)
                (given / "in" / file.name).touch()
        exchange.write_request(given, request)
        return answer.keep(result, request, self.data_folder.results, job)

    def delivered(self, job: Job, *only: str) -> list[Dataset]:
        """Every object of a job reaches its destinations (or `only` those); returns them, read."""
        with self.ledger.transaction() as database:
            for delivery in deliveries.of_job(database, job.id):
                wanted = not only or delivery.destination in only
                if wanted and delivery.status is DeliveryStatus.WAITING:
                    deliveries.sending(database, self.clock.now(), delivery.id)
                    deliveries.delivered(database, self.clock.now(), delivery.id, dimse(0))
        return [dataset for _, dataset in self.objects(job)]

    def objects(self, job: Job) -> list[tuple[str, Dataset]]:
        """Kind and dataset of each object of a job that is in the outbox."""
        made = objects.of_job(self.ledger.database, job.id)
        return [(one.kind, dcmread(self.data_folder.data / one.file)) for one in made]

    def sent(self, job: Job, destination: str) -> Dataset:
        """The report of a job that goes to a destination."""
        uids = {delivery.item for delivery in self.deliveries(job) if delivery.destination == destination}
        return next(dataset for kind, dataset in self.objects(job) if kind == "sr" and dataset.SOPInstanceUID in uids)

    def deliveries(self, job: Job) -> list[Delivery]:
        """The deliveries of a job."""
        return deliveries.of_job(self.ledger.database, job.id)
