"""Before the program: the images of a job as NIfTI files, with a sidecar that says what they are.

The DICOM copies are removed once they are written: the program sees `in/` with what its manifest names, and
`pacsnode.json` beside it. Nothing in there is more than the copies said, which have pseudonyms.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.processes.pool import ChildDiedError, ChildError, ChildPool
from node.run.laying_out import InputUnreadableError
from node.run.nifti import images
from node.run.nifti.grids import SourceGrid
from node.run.nifti.images import MaskToWrite, SeriesToWrite
from plugins import exchange
from plugins.exchange import InputSeries, Request
from plugins.exchanges import SIDECAR
from plugins.images import NotApplicableError
from plugins.nifti_mapping import NiftiFolders, NiftiInput, NiftiMask

SCHEMA = 1
_DICOM = "dicom"
_MEMORY = 2**30
_BYTES_A_VOXEL = 12
"""float32, the pixels that it is decoded from, and the compressor's."""
_SECONDS = 60.0
_VOXELS_A_SECOND = 2 * 2**20
"""Decoded, rescaled and compressed, on a machine that is busy."""
_SECONDS_A_WEIGHT = 20 * 2**20
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class NiftiImages:
    """What a program was given."""

    grids: tuple[SourceGrid | None, ...]
    """One for each input of the mapping; None where an optional one is not there."""

    def of(self, mapping: NiftiFolders) -> SourceGrid:
        """The grid that masks and maps lie on."""
        grid = self.grids[mapping.grid]
        assert grid is not None, "it is not optional"
        return grid


def lay_out(
    pool: ChildPool, mapping: NiftiFolders, request: Request, folder: Path, cancelled: Callable[[], bool]
) -> NiftiImages:
    """Put NIfTI files in the place of the DICOM copies in `in/`, and remove what only a reader of DICOM needs.

    Raises NotApplicableError where a series is no volume, InputUnreadableError where the rule gives other series than
    the manifest names, OSError, CallCancelledError.
    """
    chosen = [_series_of(each, request.series) for each in mapping.inputs]
    _refuse_unused(mapping, chosen, request.series)
    _refuse_modalities(mapping, chosen)
    _refuse_other_results(mapping, request)
    given = folder / exchange.IN
    dicom = given.rename(folder / _DICOM)
    given.mkdir(mode=0o700)
    grids = tuple(
        _written(pool, _order(asked, series, dicom, given), series, cancelled) if series else None
        for asked, series in zip(mapping.inputs, chosen, strict=True)
    )
    laid = NiftiImages(grids)
    masks = [_mask(pool, each, dicom, given, laid.of(mapping), cancelled) for each in mapping.masks]
    sidecar = {**_sidecar(mapping, request, grids), **({"masks": masks} if masks else {})}
    text = json.dumps(sidecar, ensure_ascii=False, allow_nan=False, indent=1)
    (given / SIDECAR).write_text(text, encoding="utf-8")
    shutil.rmtree(dicom)
    (folder / exchange.REQUEST).unlink()
    return laid


def _series_of(asked: NiftiInput, series: Sequence[InputSeries]) -> InputSeries | None:
    found = [each for each in series if each.role == asked.role]
    if not found and asked.optional:
        return None
    if len(found) != 1:
        role = f"have the role {asked.role!r}" if asked.role else "have no role"
        given = ", ".join(repr(each.role) if each.role else "none" for each in series)
        raise InputUnreadableError(
            f"{len(found)} of the series that the rule gives {role}, expected one, for {exchange.IN}/{asked.file}; "
            f"their roles are: {given}"
        )
    return found[0]


def _refuse_unused(mapping: NiftiFolders, chosen: Sequence[InputSeries | None], series: Sequence[InputSeries]) -> None:
    """A series that no file is made of is a mistake of the rule, and would be missed by nobody."""
    for each in series:
        if each not in chosen:
            known = ", ".join(repr(one.role) for one in mapping.inputs)
            raise InputUnreadableError(
                f"the rule gives a series under the role {each.role!r}, of which the manifest makes no file; the roles "
                f"of [[nifti.inputs]] are: {known}"
            )


def _refuse_other_results(mapping: NiftiFolders, request: Request) -> None:
    """Each result of an earlier step has its file, and each file its result."""
    named, given = {each.result for each in mapping.masks}, {each.name for each in request.results}
    if odd := sorted(named ^ given):
        wanted = ", ".join(sorted(named)) or "none"
        raise InputUnreadableError(
            f"the results of earlier steps that the rule gives (inputs) are {', '.join(sorted(given)) or 'none'}, and "
            f"[[nifti.masks]] of the manifest reads {wanted}: they differ by {odd[0]}"
        )


def _refuse_modalities(mapping: NiftiFolders, chosen: Sequence[InputSeries | None]) -> None:
    for asked, series in zip(mapping.inputs, chosen, strict=True):
        if series and asked.modality and series.modality != asked.modality:
            raise NotApplicableError(f"The images are {series.modality or 'of no modality'}, not {asked.modality}.")


def _order(asked: NiftiInput, series: InputSeries, dicom: Path, given: Path) -> SeriesToWrite:
    return SeriesToWrite(
        files=tuple(dicom / file.name for file in series.files),
        target=given / asked.file,
        modality=series.modality,
        least_slices=asked.least_slices,
        tags=tuple(asked.tags.items()),
    )


def _mask(
    pool: ChildPool, asked: NiftiMask, dicom: Path, given: Path, grid: SourceGrid, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Write the mask of an earlier step; what the sidecar says of it."""
    order = MaskToWrite(dicom / exchange.RESULTS / asked.result, given / asked.file, grid)
    try:
        labels = pool.call(
            images.write_mask,
            order,
            deadline=_SECONDS + grid.voxels / _VOXELS_A_SECOND,
            memory=_MEMORY + _BYTES_A_VOXEL * grid.voxels,
            cancelled=cancelled,
            weight=grid.voxels / _SECONDS_A_WEIGHT,
        )
    except ChildError as error:
        raise InputUnreadableError(f"the mask {asked.result} cannot be written: {error}") from error
    return {
        "file": asked.file,
        "result": asked.result,
        "labels": {str(number): name for number, name in labels.items()},
    }


def _written(pool: ChildPool, order: SeriesToWrite, series: InputSeries, cancelled: Callable[[], bool]) -> SourceGrid:
    voxels = sum(each.rows * each.columns * each.frames for each in series.files)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return pool.call(
                images.write,
                order,
                deadline=_SECONDS + voxels / _VOXELS_A_SECOND,
                memory=_MEMORY + _BYTES_A_VOXEL * voxels,
                cancelled=cancelled,
                weight=voxels / _SECONDS_A_WEIGHT,
            )
        except ChildError as error:
            if attempt == _ATTEMPTS or not isinstance(error, ChildDiedError):
                raise InputUnreadableError(f"the images cannot be written as NIfTI: {error}") from error
            order.target.unlink(missing_ok=True)
    raise AssertionError("the last attempt returns or raises")


def _sidecar(mapping: NiftiFolders, request: Request, grids: Sequence[SourceGrid | None]) -> dict[str, Any]:
    study = request.study
    return {
        "schema": SCHEMA,
        "parameters": dict(request.parameters),
        "study": {
            "study_instance_uid": study.study_instance_uid,
            "patient_sex": study.patient_sex,
            "patient_age": study.patient_age,
            "study_date": study.study_date.isoformat() if study.study_date else None,
        },
        "images": [_described(asked, grid) for asked, grid in zip(mapping.inputs, grids, strict=True) if grid],
    }


def _described(asked: NiftiInput, grid: SourceGrid) -> dict[str, Any]:
    """One image, in the order of its axes: i, j, k."""
    return {
        "file": asked.file,
        "role": asked.role,
        "modality": grid.modality,
        "units": grid.units,
        "shape": list(grid.shape[::-1]),
        "spacing_mm": list(grid.spacing[::-1]),
        "tags": {name: list(value) if isinstance(value, tuple) else value for name, value in grid.tags},
    }
