"""The last studies, as `pacsnode status` shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from node.cli.output import cell, table
from node.config.models import NodeSettings
from node.desk.arriving import status_text
from node.desk.overview import Overview, Work
from node.desk.rows import DeliveryStatus, Series, Study
from node.desk.words import clock_text, tail


def latest(found: Overview, node: NodeSettings, identify: bool) -> list[RenderableType]:
    """The studies that last received something, with what came of them."""
    if not found.latest:
        return [Text(), cell("No study has arrived yet.")]
    columns = ["=Received", "=Accession", "=Study", "=Images", "Status", "Jobs", "Sent"]
    rows = []
    for work in found.latest:
        study = work.study
        row = [
            cell(clock_text(study.last_received_at, node.zone, found.now)),
            cell(study.accession_number),
            cell(tail(study.study_instance_uid, 10)),
            cell(_images(work.series)),
            cell(_study_status(found, study, node), "bold red" if study.hold else ""),
            cell(_counted(job.outcome or job.status for job in work.jobs)),
            cell(_sent(work)),
        ]
        rows.append([*row[:2], cell(study.patient_id), *row[2:]] if identify else row)
    if identify:
        columns.insert(2, "=Patient ID")
    return [Text(), table("Last studies", columns, rows)]


def _study_status(found: Overview, study: Study, node: NodeSettings) -> str:
    if study.hold:
        return "held"
    status = status_text(study, node, found.now, ended=study.study_instance_uid in found.ended)
    return status if study.revision <= 1 else f"{status} (revision {study.revision})"


def _images(series: Sequence[Series]) -> str:
    """`CT 275`, `MR+SR 300`."""
    return f"{'+'.join(sorted({each.modality for each in series}))} {sum(each.instances for each in series)}"


def _counted(words: Iterator[str]) -> str:
    counts = Counter(word.replace("_", " ") for word in words)
    return ", ".join(word if count == 1 else f"{count} {word}" for word, count in counts.items())


def _sent(work: Work) -> str:
    """`3 of 3; 270 of 275 images, 5 waiting`: over all destinations."""
    images: Counter[DeliveryStatus] = Counter()
    for each in work.images:
        images[each.status] += each.instances
    told = [_part(Counter(delivery.status for delivery in work.results), ""), _part(images, " images")]
    return "; ".join(part for part in told if part)


def _part(counts: Counter[DeliveryStatus], what: str) -> str:
    counts.pop(DeliveryStatus.REPLACED, None)  # what took its place is counted
    total, done = counts.total(), counts.pop(DeliveryStatus.DELIVERED, 0)
    rest = [f"{count} {status}" for status, count in counts.items()]
    return ", ".join([f"{done} of {total}{what}", *rest]) if total else ""
