"""What encoding gives: the objects of one set, on disk. The process that encodes has the libraries; this needs none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.config.encoding import SPEAKING, Kind
from node.results.request import SetPart


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """One SOP instance on disk, ready for the outbox."""

    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    series_number: int
    instance_number: int
    path: Path
    sha256: str
    """Of the whole file."""
    changes: tuple[str, ...] = ()
    """What of the images' patient, study and requests could not be copied as it is; the same for the whole set."""


class EncodedSet(tuple[EncodedObject, ...]):
    """The objects of one set, in the order in which they are sent, and what is missing from it."""

    missing: frozenset[SetPart] = frozenset()
    reasons: tuple[str, ...] = ()
    """Why, for the site admin; each names the object."""
    advice: tuple[str, ...] = ()
    """Of objects that the plugin returned, in what they differ from the Standard: they are sent anyway."""

    @classmethod
    def of(
        cls,
        objects: tuple[EncodedObject, ...],
        missing: frozenset[SetPart] = frozenset(),
        reasons: tuple[str, ...] = (),
        advice: tuple[str, ...] = (),
    ) -> EncodedSet:
        """A set that lacks `missing`."""
        made = cls(objects)
        made.missing, made.reasons, made.advice = missing, reasons, advice
        return made

    @property
    def is_silent(self) -> bool:
        """Whether report and pages are missing, so that nobody can read what was found, nor what is missing."""
        lost = any(part.kind in SPEAKING and not part.number for part in self.missing)
        return lost and not any(made.kind in SPEAKING for made in self)
