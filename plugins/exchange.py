"""The folder through which the node and a plugin's process talk: files only, versioned, checked.

    <folder>/request.json   what is asked; the plugin reads it
    <folder>/in/            copies of the chosen instances
    <folder>/out/           the plugin writes here, and only here: arrays (.npy), DICOM objects, then result.json
    <folder>/scratch/       temporary files of the plugin, never read by the node

`out/result.json` is written under another name and renamed when it is whole: a result that is
there is complete. What it holds comes from a program that may be broken or hostile, so
`read_result` bounds every size before it allocates, follows no link, opens nothing outside `out/`
and refuses a result that names an instance the plugin was not given (another patient, another study).
Every `ExchangeError` names the file and the JSON path.

Needs the standard library and numpy.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from plugins import encoding, json_schema
from plugins.allowed_parts import AllowedParts, GivenImage
from plugins.contract import (
    Result,
    Series,
    Study,
)
from plugins.encoding import EncodingError, Planes, Writers
from plugins.object_files import ObjectFiles, ObjectWriter
from plugins.untrusted import (
    SCHEMA,
    ArrayFiles,
    ExchangeError,
    open_folder,
    read_json,
    read_line,
    strays,
)

REQUEST = "request.json"
RESULT = "result.json"
IN = "in"
OUT = "out"
SCRATCH = "scratch"
NOT_WRITTEN = "its result could not be written"
"""Why a worker wants a job to be tried again that its plugin has done."""
LOG = "worker.log"
"""In `out/`: the traceback of a Python plugin that failed."""
ERROR = "error.txt"
"""In `out/`, beside a result that is `failed`: a line that says where it failed. The admin sees it, readers do not."""

_INPUT_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


# --- the request ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PluginReference:
    """The plugin that is asked: name and version from its manifest; `entry` is empty for a command."""

    name: str
    version: str
    folder: str
    """Absolute path of the folder that holds plugin.toml."""
    entry: str = ""
    """`module:Class`."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One SOP instance handed over: its name below `in/`, and what a result may say of it."""

    name: str
    sop_instance_uid: str
    frames: int = 1
    frame_of_reference_uid: str = ""
    rows: int = 0
    """Of each frame; 0 where the header does not say. What lies on the image has its rows and columns."""
    columns: int = 0


@dataclass(frozen=True, slots=True)
class InputSeries:
    """One series handed over, or the chosen part of it."""

    series_instance_uid: str
    modality: str
    files: tuple[InputFile, ...]
    description: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The few facts of patient and study that algorithms ask for; never a name, an identifier or a birth date."""

    study_instance_uid: str
    patient_sex: str = ""
    patient_age: float | None = None
    study_date: date | None = None


@dataclass(frozen=True)
class Request:
    """All that a plugin's process gets."""

    job: str
    plugin: PluginReference
    study: RequestFacts
    series: tuple[InputSeries, ...]
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)

    def open(self, folder: Path) -> Study:
        """The study as a plugin is given it, with paths below `folder`."""
        return Study(
            study_instance_uid=self.study.study_instance_uid,
            series=tuple(
                Series(
                    series_instance_uid=series.series_instance_uid,
                    modality=series.modality,
                    description=series.description,
                    files=tuple(folder / IN / file.name for file in series.files),
                    role=series.role,
                )
                for series in self.series
            ),
            patient_sex=self.study.patient_sex,
            patient_age=self.study.patient_age,
            study_date=self.study.study_date,
            scratch=folder / SCRATCH,
        )


def write_request(folder: Path, request: Request) -> None:
    """Write `request.json` and make `out/` and `scratch/`; the instances are in `in/` already.

    Raises `ExchangeError` where a file of the request is not there or has a name that could leave `in/`.
    """
    for series_index, series in enumerate(request.series):
        for index, file in enumerate(series.files):
            place = f"$.series[{series_index}].files[{index}].name"
            if not _INPUT_NAME.fullmatch(file.name):
                raise ExchangeError(REQUEST, place, f"{file.name!r} is not a plain file name below {IN}/")
            if not (folder / IN / file.name).is_file():
                raise ExchangeError(REQUEST, place, f"{IN}/{file.name} is not there")
    (folder / OUT).mkdir(exist_ok=True)
    (folder / SCRATCH).mkdir(exist_ok=True)
    _write_json(folder, REQUEST, encoding.encode(request, _NOTHING_OUT))


def request_bytes(request: Request) -> bytes:
    """The content of `request.json`."""
    return _as_json(encoding.encode(request, _NOTHING_OUT))


def read_request(folder: Path) -> Request:
    """Read `request.json`; raises `ExchangeError`."""
    with open_folder(folder, folder.name) as descriptor:
        document = read_json(descriptor, REQUEST, REQUEST)
    decoder = encoding.Decoder(_no_array_in, _no_file_in, _check_input_name, _no_planes)
    try:
        request = decoder.decode(Request, document)
    except EncodingError as error:
        raise ExchangeError(REQUEST, error.path, error.problem) from error
    assert isinstance(request, Request)
    return request


def request_schema() -> dict[str, Any]:
    """JSON Schema of request.json."""
    return _with_version(json_schema.json_schema(Request, "pacsnode plugin request"))


def result_schema() -> dict[str, Any]:
    """JSON Schema of result.json; sizes of arrays and references to inputs are checked by `read_result`."""
    return _with_version(json_schema.json_schema(Result, "pacsnode plugin result"))


def _with_version(schema: dict[str, Any]) -> dict[str, Any]:
    root = schema["$defs"][schema.pop("$ref").rsplit("/", 1)[1]]
    root["properties"] = {"schema": {"const": SCHEMA}, **root["properties"]}
    root["required"] = ["schema", *root["required"]]
    return {**schema, **root}


def _check_input_name(path: str, value: Any) -> None:
    if isinstance(value, InputFile) and not _INPUT_NAME.fullmatch(value.name):
        raise EncodingError(f"{path}.name", f"is not a plain file name below {IN}/")


def _no_array_out(name: str, _array: NDArray[Any]) -> str:
    raise TypeError(f"a request holds no array, but {name} is one")


def _no_file_out(path: Path) -> str:
    raise TypeError(f"a request holds no file, but {path} is one")


_NOTHING_OUT = Writers(_no_array_out, _no_file_out)


def _no_file_in(path: str, _name: str) -> Path:
    raise EncodingError(path, "a request holds no file")


def _no_array_in(path: str, _field: str, _name: str, _planes: Planes | None) -> NDArray[Any]:
    raise EncodingError(path, "a request holds no array")


def _no_planes(_path: str, _fields: Mapping[str, Any], _index: int | None) -> None:
    """What has no array lies on nothing."""


# --- the result ----------------------------------------------------------------------------------


def write_result(folder: Path, result: Result) -> None:
    """Write arrays and objects, then `out/result.json`: fsync'ed, and there only when it is whole.

    The file of an object is copied to `out/dicom/` unless it is in `out/` already; ContractError where it cannot be
    read.
    """
    out = folder / OUT
    count = 0

    def write_array(name: str, array: NDArray[Any]) -> str:
        nonlocal count
        count += 1
        file_name = f"{name}-{count}.npy"
        with (out / file_name).open("wb") as file:
            _save(file, _as_stored(name, array))
            file.flush()
            os.fsync(file.fileno())
        return file_name

    _write_json(out, RESULT, encoding.encode(result, Writers(write_array, ObjectWriter(out))))


def _save(file: BinaryIO, array: NDArray[Any]) -> None:
    """As `np.save` does, but plane by plane: what is mapped from a file is never in memory as a whole."""
    np.lib.format.write_array_header_1_0(file, {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape})
    for plane in array:
        np.ascontiguousarray(plane).tofile(file)


def _as_stored(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if name == "labels":  # 65,535 labels are the most that a segmentation may have
        return array.astype(np.uint8 if array.size == 0 or array.max() < 256 else np.uint16, copy=False)
    return array


@dataclass(frozen=True, slots=True)
class OutputReading:
    """What was read in `out/`."""

    result: Result
    ignored: tuple[str, ...]
    """What else is in the folder, the first few of it: the result does not name it, and nobody has opened it."""
    error: str = ""
    """Where it failed, as the plugin's process says (`ERROR`)."""


def read_result(folder: Path, request: Request) -> Result:
    """The result of `read`."""
    return read(folder, request).result


def read(folder: Path, request: Request) -> OutputReading:
    """Read what the plugin's process left in `out/`, trusting nothing. Its arrays are mapped from there, not read.
    Its objects are files that are there; nobody has read them yet.

    `request` is the node's own copy of what was asked, not the file: the plugin could have changed that.
    Raises `ExchangeError` where the result is missing, malformed, too large, leaves `out/`, or refers to
    an instance, frame or frame of reference that was not handed over.
    """
    with open_folder(folder / OUT, f"{OUT}/") as descriptor:
        document = read_json(descriptor, RESULT, f"{OUT}/{RESULT}")
        inputs = AllowedParts(_given(request))
        arrays, objects = ArrayFiles(descriptor, OUT), ObjectFiles(descriptor, folder / OUT)
        decoder = encoding.Decoder(arrays, objects, inputs.check, inputs.planes)
        try:
            result = decoder.decode(Result, document)
        except EncodingError as error:
            raise ExchangeError(f"{OUT}/{RESULT}", error.path, error.problem) from error
        ignored = strays(descriptor, OUT, {RESULT, LOG, ERROR, *arrays.named, *objects.named})
        failed_at = read_line(descriptor, ERROR)
    assert isinstance(result, Result)
    return OutputReading(result, ignored, failed_at)


def _given(request: Request) -> dict[str, GivenImage]:
    return {
        file.sop_instance_uid: GivenImage(
            series.series_instance_uid, file.frames, file.frame_of_reference_uid, file.rows, file.columns
        )
        for series in request.series
        for file in series.files
    }


def _as_json(document: dict[str, Any]) -> bytes:
    return json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _write_json(folder: Path, name: str, document: dict[str, Any]) -> None:
    part = folder / f"{name}.part"
    with part.open("wb") as file:
        file.write(_as_json(document))
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
