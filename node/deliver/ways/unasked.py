"""What a destination that answers no questions has in common with an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.errors import PermanentError


class UnaskedArchive:
    """The questions of `node.deliver.ways.archive.Archive`: none is answered."""

    def __init__(self, place: str) -> None:
        """`place`: as in `the folder /mnt/ai`."""
        self._place = place

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """PermanentError."""
        raise self._unasked(study_instance_uid, keywords)

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """PermanentError."""
        raise self._unasked(study_instance_uid, series_instance_uid, sop_instance_uid)

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """PermanentError."""
        raise self._unasked(study_instance_uid, keywords)

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        """PermanentError."""
        raise self._unasked(study_instance_uid, series_instance_uid, keywords)

    def _unasked(self, *_question: object) -> PermanentError:
        return PermanentError(f"{self._place} cannot be asked what it has")
