"""The author's harness: `python -m plugins.testing PLUGIN_FOLDER DICOM_FOLDER [name=value …]`.

Runs the plugin as the node would (the same request, the same worker in a process of its own, the same
strict reading of its result) and prints what it found. With `--save FOLDER` the pictures are written
there as PNG, the segmentation as .npy. In Python: `run(...)`, or `analyse(...)` in the same process,
where a debugger works.

Exit codes: 0, a result came, whatever its status but `failed` · 1, it failed or was refused · 2, the
manifest, the parameters or the DICOM folder are wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from plugins import bundle, exchange, manifest
from plugins.adapters import python
from plugins.contract import Finding, Measurement, Result, ResultStatus
from plugins.exchange import InputFile, InputSeries, PluginReference, Request, StudyFacts
from plugins.manifest import Manifest, ManifestError, ParameterError, RuntimeKind
from plugins.untrusted import ExchangeError


class HarnessError(Exception):
    """The plugin could not be run, or its result was refused; the message says why."""


def prepare(
    plugin: Manifest, files: Sequence[Path], folder: Path, given: Mapping[str, object] | None = None
) -> Request:
    """Lay out a job's folder as the node does: one study, its series by UID, linked from where the files are."""
    by_series: dict[str, list[tuple[Dataset, Path]]] = {}
    for file in files:
        header = _header(file)
        if header is not None:
            by_series.setdefault(str(header.SeriesInstanceUID), []).append((header, file))
    if not by_series:
        raise HarnessError("no DICOM images were found")
    headers = [header for entries in by_series.values() for header, _ in entries]
    if len({str(header.StudyInstanceUID) for header in headers}) > 1:
        raise HarnessError("the files are of more than one study; the node hands over one at a time")
    series = []
    for index, (uid, entries) in enumerate(by_series.items()):
        (folder / exchange.IN / str(index)).mkdir(parents=True)
        series.append(_series(uid, entries, folder, index))
    request = Request(
        job="harness",
        plugin=PluginReference(plugin.identity.name, plugin.identity.version, str(plugin.folder), plugin.runtime.entry),
        study=StudyFacts(str(headers[0].StudyInstanceUID), str(headers[0].get("PatientSex") or "")),
        series=tuple(series),
        parameters=plugin.parameters_for(given or {}),
    )
    exchange.write_request(folder, request)
    return request


def _header(file: Path) -> Dataset | None:
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    return header if "SeriesInstanceUID" in header and "Rows" in header else None


def _series(uid: str, entries: Sequence[tuple[Dataset, Path]], folder: Path, index: int) -> InputSeries:
    files = []
    for number, (header, file) in enumerate(entries, start=1):
        name = f"{index}/{number:06d}.dcm"
        (folder / exchange.IN / name).symlink_to(file.resolve())
        files.append(
            InputFile(
                name=name,
                sop_instance_uid=str(header.SOPInstanceUID),
                frames=int(header.get("NumberOfFrames") or 1),
                frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or ""),
                rows=int(header.Rows or 0),
                columns=int(header.get("Columns") or 0),
            )
        )
    first = entries[0][0]
    return InputSeries(uid, str(first.get("Modality", "")), tuple(files), str(first.get("SeriesDescription", "")))


def analyse(plugin_folder: Path, files: Sequence[Path], given: Mapping[str, object] | None = None) -> Result:
    """The plugin's own result, in this process; what it raises comes through."""
    plugin = manifest.load(plugin_folder)
    with tempfile.TemporaryDirectory() as name:
        request = prepare(plugin, files, Path(name), given)
        return python.load(plugin.folder, plugin.runtime.entry).analyse(request.open(Path(name)), request.parameters)


def run(plugin_folder: Path, files: Sequence[Path], given: Mapping[str, object] | None = None) -> Result:
    """The result as the node would get it, from a process of its own; raises `HarnessError`."""
    plugin = manifest.load(plugin_folder)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "job"
        folder.mkdir()
        request = prepare(plugin, files, folder, given)
        command, path = _command(plugin, folder), bundle.write(Path(name) / "plugins.zip")
        environment = {**os.environ, "PYTHONPATH": str(path)}
        try:
            ended = subprocess.run(command, env=environment, timeout=plugin.runtime.deadline_seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise HarnessError(f"it was not done after {plugin.runtime.deadline_seconds} s") from error
        if ended.returncode != 0:
            raise HarnessError(f"its process ended with {ended.returncode}")
        log = folder / exchange.OUT / exchange.LOG
        if log.is_file():
            print(log.read_text(encoding="utf-8"), file=sys.stderr)  # noqa: T201 - this is a command for authors
        try:
            result = exchange.read_result(folder, request)
        except ExchangeError as error:
            raise HarnessError(f"its result is refused: {error}") from error
        undeclared = plugin.undeclared(result)
        if undeclared:
            raise HarnessError(f"its result is refused: {'; '.join(undeclared)}")
        return result


def _command(plugin: Manifest, folder: Path) -> list[str]:
    if plugin.runtime.kind is RuntimeKind.PYTHON:
        return [str(plugin.folder / plugin.runtime.executable), "-P", "-m", "plugins.worker", str(folder)]
    program, *rest = (part.replace("{folder}", str(folder)) for part in plugin.runtime.command)
    return [str(plugin.folder / program), *rest]  # an absolute program stays as it is


# --- for people ----------------------------------------------------------------------------------


def lines(result: Result) -> list[str]:
    """What the result says, one line each."""
    shown = [f"{result.status.value}: {result.summary}"]
    for finding in result.findings:
        shown.append(_finding_line(finding))
        shown += [f"    {_measurement_line(measurement)}" for measurement in finding.measurements]
    shown += [f"note: {note}" for note in result.quality]
    if result.segmentation is not None:
        for segment in result.segmentation.segments:
            voxels = sum(int((plane == segment.number).sum()) for plane in result.segmentation.planes)
            shown.append(f"segment {segment.number}: {segment.label}, {voxels} voxels")
    shown += [f"heat map: {heatmap.label}, {heatmap.values.shape}" for heatmap in result.heatmaps]
    shown += [f"key image: {image.reason} ({image.image.sop_instance_uid})" for image in result.key_images]
    shown += [
        f"picture: {picture.caption}, {picture.pixels.shape[1]} × {picture.pixels.shape[0]}"
        for picture in result.pictures
    ]
    return shown


def _finding_line(finding: Finding) -> str:
    state = {True: ": present", False: ": absent", None: ""}[finding.present]
    side = finding.site.laterality.meaning if finding.site and finding.site.laterality else ""
    site = f" ({' '.join(part for part in (finding.site.region.meaning, side) if part)})" if finding.site else ""
    score = f", {finding.score.meaning} {finding.score.value:g}" if finding.score else ""
    return f"{finding.code.meaning}{site}{state}{score}"


def _measurement_line(measurement: Measurement) -> str:
    name = measurement.concept.meaning
    if measurement.derivation is not None:
        name = f"{name}, {measurement.derivation.meaning}"
    if measurement.value is None:
        return f"{name}: {measurement.no_value}"
    return f"{name}: {measurement.value:.{measurement.decimals}f} {measurement.unit.code}"


def _save(result: Result, folder: Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(result.pictures, start=1):
        Image.fromarray(picture.pixels).save(folder / f"picture-{number}.png")
    if result.segmentation is not None:
        labels = result.segmentation.labels
        if isinstance(labels, tuple):  # of images that differ in size
            for number, plane in enumerate(labels, start=1):
                np.save(folder / f"segmentation-{number}.npy", plane)
        else:
            np.save(folder / "segmentation.npy", labels)


def _parameter(plugin: Manifest, text: str) -> tuple[str, object]:
    """`name=value` with the value in the type that the manifest gives it."""
    name, _, value = text.partition("=")
    known = {parameter.name: type(parameter.default) for parameter in plugin.parameters}
    try:
        if known.get(name) is bool:
            return name, {"true": True, "false": False}[value]
        return name, known.get(name, str)(value)
    except (ValueError, KeyError) as error:
        raise ParameterError(f"parameter {name!r}: {value!r} is no {known[name].__name__}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m plugins.testing", description="Run a plugin as the node would.")
    parser.add_argument("plugin", type=Path, help="folder with plugin.toml")
    parser.add_argument("images", type=Path, help="folder with the DICOM files of one study")
    parser.add_argument("parameters", nargs="*", metavar="name=value")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write pictures and segmentation there")
    options = parser.parse_intermixed_args(arguments)
    try:
        plugin = manifest.load(options.plugin)
        given = dict(_parameter(plugin, text) for text in options.parameters)
        files = sorted(path for path in options.images.rglob("*") if path.is_file())
        result = run(options.plugin, files, given)
    except (ManifestError, ParameterError) as error:
        parser.exit(2, f"{error}\n")
    except HarnessError as error:
        parser.exit(1, f"{error}\n")
    print("\n".join(lines(result)))  # noqa: T201 - this is a command for authors
    if options.save:
        _save(result, options.save)
    return 1 if result.status is ResultStatus.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
