"""What a plugin is given: a study and its chosen series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.earlier import EarlierParts
from plugins.images import require
from plugins.maps import Segmentation
from plugins.result import Finding
from plugins.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

    from plugins.parting import VolumePart
    from plugins.projections import Projection


@dataclass(frozen=True)
class Series:
    """One series, or the chosen part of one: headers on demand, pixels on demand."""

    series_instance_uid: str
    modality: str
    description: str
    files: tuple[Path, ...]
    role: str = ""
    """The name under which the rule hands it over ("t1", "prior"); empty where it gives none."""

    def headers(self) -> list[Dataset]:
        """The instances' datasets without pixel data, in the order of `files` (needs pydicom)."""
        from plugins import image_frames

        return image_frames.headers(self.files)

    def volume(self) -> Volume:
        """The series as one volume (needs pydicom); see `plugins.imaging.volume` for what it refuses.

        Raises `NotApplicableError` where the instances are no proper stack: slices missing, mixed
        orientation, gantry tilt, varying spacing, pixels that do not decode.
        """
        from plugins import imaging

        return imaging.volume(self.files)

    def volumes(self) -> tuple[VolumePart, ...]:
        """The volumes of a series of several phases, echoes, b-values or times, with the tags that tell them apart.

        `part.tags` names them ({"DiffusionBValue": 800.0}) and `part.volume()` reads one; see `plugins.parting`.
        """
        from plugins import parting

        return parting.volumes(self.files)

    def projections(self, *, raw: bool = False) -> tuple[Projection, ...]:
        """Radiographs and mammograms, from 0 (black) to 1 (white), or `raw` as measured; see `plugins.projections`."""
        from plugins import projections

        return projections.projections(self.files, raw=raw)


@dataclass(frozen=True)
class Study:
    """What a plugin is given: the chosen series of one study, and the few facts algorithms ask for."""

    study_instance_uid: str
    series: tuple[Series, ...]
    patient_sex: str = ""
    patient_age: float | None = None
    """Years, from PatientAge or PatientBirthDate and StudyDate; None where neither is known."""
    study_date: date | None = None
    scratch: Path | None = None
    """A folder for temporary files, gone after the job."""
    masks: Mapping[str, Segmentation] = field(default_factory=lambda: EarlierParts({}, kind="segmentation"))
    """Segmentations of earlier steps, by the names that the rule gives them; see `Segmentation.labels_on`."""
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=lambda: EarlierParts({}))
    """What earlier steps found, by the same names."""

    def by_role(self, role: str) -> Series:
        """The one series handed over under `role`; `ContractError` where there is none or more than one."""
        found = [series for series in self.series if series.role == role]
        require(len(found) == 1, f"Study: {len(found)} series have the role {role!r}, expected one")
        return found[0]
