"""In words: which images of a study retention has removed, and whether they came again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from node.desk.study import StudyHistory
from node.ledger.gone_images import deleted
from node.ledger.studies import StudyImages


def lines(found: StudyHistory, zone: tzinfo) -> Iterator[str]:
    """One line for each time that images of it were removed, then what that means now; none for most studies."""
    for purge in found.purges:
        done = purge.ended_at is not None
        many = f"{purge.instances} received files" if done else "its received files are being deleted:"
        yield f"{many} {deleted(purge.began_at, purge.why, zone)}"
    if not found.purges:
        return
    left = sum(found.gone.values())
    if found.study.images is StudyImages.GONE:
        yield "no image of it is here; its history and results are kept"
    elif left:
        yield f"{left} of its images are not here; a job that needs them asks an archive, or is not run"
