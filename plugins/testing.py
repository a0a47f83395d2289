"""For an author's own tests: `analyse` calls a plugin's class in this process, where pytest and a debugger work.

    result = testing.analyse(Path("my_plugin"), sorted(Path("chest").iterdir()))
    assert result.status is ResultStatus.FINDINGS

What a node makes of a plugin (confinement, limits, pseudonyms, the checks of the result, the DICOM objects) is shown
by `pacsnode plugin run` and `pacsnode plugin check`, and by nothing here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from plugins import manifest
from plugins.adapters import entry
from plugins.contract import Result, Series, Study


def analyse(
    plugin_folder: Path,
    files: Sequence[Path],
    given: Mapping[str, object] | None = None,
    roles: Mapping[str, Sequence[Path]] | None = None,
) -> Result:
    """The plugin's own result on DICOM files, `roles` further ones by the role that a rule would give them.

    Files that are not images are passed over. Raises what the plugin raises; ManifestError, ParameterError.
    """
    plugin = manifest.load(plugin_folder)
    parameters = plugin.parameters_for(given or {})
    with tempfile.TemporaryDirectory() as scratch:
        study = _study(files, roles or {}, Path(scratch))
        return entry.load(plugin.folder, plugin.runtime.entry).analyse(study, parameters)


def _study(files: Sequence[Path], roles: Mapping[str, Sequence[Path]], scratch: Path) -> Study:
    series = [*_series(files, ""), *(each for role, of_role in roles.items() for each in _series(of_role, role))]
    first = _header(series[0].files[0]) if series else None
    return Study(
        study_instance_uid=str(first.StudyInstanceUID) if first else "",
        series=tuple(series),
        patient_sex=str(first.get("PatientSex") or "") if first else "",
        scratch=scratch,
    )


def _series(files: Sequence[Path], role: str) -> list[Series]:
    by_uid: dict[str, tuple[Dataset, list[Path]]] = {}
    for file in files:
        header = _header(file)
        if header is not None:
            by_uid.setdefault(str(header.SeriesInstanceUID), (header, []))[1].append(file)
    return [
        Series(uid, str(header.get("Modality", "")), "", tuple(paths), role) for uid, (header, paths) in by_uid.items()
    ]


def _header(file: Path) -> Dataset | None:
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    return header if "SeriesInstanceUID" in header and "Rows" in header else None
