"""A site whose rule has a second step that takes what the first one found: every stage, real images, and a PACS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from node.config.models import PluginUse
from node.index.children import HeaderReader
from node.ledger import job_results, objects
from node.ledger.job import Job
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.whole_site import KeepingPacs, WholeSite

RULE: dict[str, Any] = {
    "name": "chain",
    "description": "How large is what the first step has found?",
    "when": {"Modality": "CT"},
    "choose": {"where": {"Modality": "CT"}},
    "run": ["first", {"plugin": "volume", "inputs": {"mask": "first"}}],
    "send": ["pacs"],
    "mode": "pilot",
}
FIRST = """
columns = int((Path(__file__).parent / "columns.txt").read_text())
if columns < 0:
    raise NotApplicableError("These images are not what it is for.")
if columns == 0:
    raise ValueError("as the test wants it")
volume = study.series[0].volume()
labels = np.zeros(volume.array.shape, np.uint8)
labels[1:, 10:20, :columns] = 7
segment = Segment(7, "Thing", CATEGORY, CODE)
shown = Segmentation(labels[1:], volume.frames[1:], (segment,))
return Result(ResultStatus.FINDINGS, f"Seen at {time.time()}.", (Finding(CODE, True, segments=(7,)),), shown)
"""
"""A block of as many columns as a file beside it says, on all slices but the first; -1 and 0 are other ends."""
VOLUME = """
volume = study.series[0].volume()
mask = study.masks["mask"]
labels = mask.labels_on(volume.frames)
print("frames:", sorted({frame.sop_instance_uid for frame in mask.frames}), "slices:", labels.any(axis=(1, 2)))
print("earlier:", study.findings["mask"][0].present, mask.segments[0].number)
size = Measurement(CODE, float((labels == 7).sum()), Unit("1", "no units"))
return Result(ResultStatus.FINDINGS, "Measured.", (Finding(CODE, None, measurements=(size,)),))
"""


class ChainedSite(WholeSite):
    """`first` segments, `volume` counts the voxels of its mask."""

    def __init__(self, folder: Path, reader: HeaderReader, pacs: KeepingPacs | None = None, **rule: Any) -> None:
        super().__init__(folder, reader, RULE | rule, pacs)

    def make_plugins(self) -> None:
        """What an earlier life of the site has made stays."""
        if (self.folder / "plugins").exists():
            self.uses |= {path.name: PluginUse(folder=path) for path in (self.folder / "plugins").iterdir()}
            return
        self.python_plugin("first", FIRST, identity="pseudonym", attempts=1)
        self.python_plugin("volume", VOLUME, identity="pseudonym", attempts=1)
        self.finds(5)

    def finds(self, columns: int) -> None:
        """From now on the first step finds that many columns."""
        (self.folder / "plugins" / "first" / "columns.txt").write_text(str(columns))

    def send(self) -> None:
        """The study comes, and all is done that follows from it."""
        self.send_images()
        self.go_on()
        self.deliver()

    def send_images(self) -> None:
        """The study comes, is complete and decided."""
        for number in (1, 2, 3):
            arrive(self.data_folder, ct(number))
        self.index.run_once()
        self.clock.pass_(minutes=10)  # type: ignore[attr-defined]
        self.index.run_once()
        self.route.run_once()

    def deliver(self) -> None:
        """What is encoded goes to the PACS, and what could be encoded only then, too."""
        self.results.run_once()
        self.outbox.run_once()

    def of_step(self, step: str) -> list[Job]:
        """Jobs of a step, oldest first."""
        return [job for job in self.jobs(STUDY) if job.step == step]

    def counted(self, job: Job) -> float:
        """What the second step says."""
        value: float = self.kept(job)["findings"][0]["measurements"][0]["value"]
        return value

    def source_of(self, job: Job) -> str:
        """The job whose result a job worked on."""
        (use,) = job.uses
        assert job_results.users(self.ledger.database, use.job)[-1:] == [job.id]
        return use.job

    def objects(self, job: Job, kind: str) -> list[Dataset]:
        """What was made of a job."""
        made = objects.of_job(self.ledger.database, job.id)
        return [dcmread(self.data_folder.data / one.file) for one in made if one.kind == kind]
