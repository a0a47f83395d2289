"""The folder through which the node and a plugin's process talk: files only, versioned, checked.

    <folder>/request.json   what is asked; the plugin reads it
    <folder>/in/            copies of the chosen instances
    <folder>/out/           the plugin writes here, and only here: arrays (.npy), then result.json
    <folder>/scratch/       temporary files of the plugin, never read by the node

`out/result.json` is written under another name and renamed when it is whole: a result that is
there is complete. What stands in it comes from a program that may be broken or hostile, so
`read_result` bounds every size before it allocates, follows no link, opens nothing outside `out/`
and refuses a result that names an instance the plugin was not given (another patient, another study).
Every `ExchangeError` names the file and the JSON path.

Needs the standard library and numpy.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from plugins import encoding
from plugins.contract import Heatmap, ImageReference, Result, Segmentation, Series, Study
from plugins.encoding import EncodingError

SCHEMA = 1
"""Version of request.json and result.json; a reader refuses any other."""
REQUEST = "request.json"
RESULT = "result.json"
IN = "in"
OUT = "out"
SCRATCH = "scratch"
LOG = "worker.log"
"""In `out/`: the traceback of a Python plugin that failed."""

JSON_BYTES = 16 * 2**20
"""The most that request.json or result.json may have."""
ARRAY_BYTES = 4 * 2**30
"""The most that all arrays of one result may have together."""
ARRAY_FILES = 256
"""The most array files of one result."""

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.npy", re.ASCII)
_INPUT_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ARRAY_TYPES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "labels": (("uint8", "uint16"), (3,)),
    "values": (("float32",), (2, 3)),
    "pixels": (("uint8",), (3,)),
}
"""Field → dtypes and numbers of dimensions that its array may have."""
_UNREADABLE = (OSError, ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError)
"""What opening a file, or numpy's parsing of a malformed .npy header, ends in."""


class ExchangeError(ValueError):
    """A request or a result that is not what it should be; the message names the file and the JSON path."""

    def __init__(self, file: str, path: str, problem: str) -> None:
        super().__init__(f"{file}: {path}: {problem}" if path else f"{file}: {problem}")
        self.file = file
        self.path = path
        self.problem = problem


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


@dataclass(frozen=True, slots=True)
class InputSeries:
    """One series handed over, or the chosen part of it."""

    series_instance_uid: str
    modality: str
    files: tuple[InputFile, ...]
    description: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """The few facts of patient and study that algorithms ask for; never a name, an identifier or a birth date."""

    study_instance_uid: str
    patient_sex: str = ""
    patient_age: float | None = None
    study_date: date | None = None


@dataclass(frozen=True)
class Request:
    """All that a plugin's process is told."""

    job: str
    plugin: PluginReference
    study: StudyFacts
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
                raise ExchangeError(REQUEST, place, f"{file.name!r} is no plain file name below {IN}/")
            if not (folder / IN / file.name).is_file():
                raise ExchangeError(REQUEST, place, f"{IN}/{file.name} is not there")
    (folder / OUT).mkdir(exist_ok=True)
    (folder / SCRATCH).mkdir(exist_ok=True)
    _write_json(folder, REQUEST, encoding.encode(request, _no_array_out))


def read_request(folder: Path) -> Request:
    """Read `request.json`; raises `ExchangeError`."""
    with _open_folder(folder, folder.name) as descriptor:
        document = _read_json(descriptor, REQUEST, REQUEST)
    decoder = encoding.Decoder(read_array=_no_array_in, check=_check_input_name)
    try:
        request = decoder.decode(Request, document)
    except EncodingError as error:
        raise ExchangeError(REQUEST, error.path, error.problem) from error
    assert isinstance(request, Request)
    return request


def request_schema() -> dict[str, Any]:
    """JSON Schema of request.json."""
    return _with_version(encoding.json_schema(Request, "pacsnode plugin request"))


def result_schema() -> dict[str, Any]:
    """JSON Schema of result.json; sizes of arrays and references to inputs are checked by `read_result`."""
    return _with_version(encoding.json_schema(Result, "pacsnode plugin result"))


def _with_version(schema: dict[str, Any]) -> dict[str, Any]:
    root = schema["$defs"][schema.pop("$ref").rsplit("/", 1)[1]]
    root["properties"] = {"schema": {"const": SCHEMA}, **root["properties"]}
    root["required"] = ["schema", *root["required"]]
    return {**schema, **root}


def _check_input_name(path: str, value: Any) -> None:
    if isinstance(value, InputFile) and not _INPUT_NAME.fullmatch(value.name):
        raise EncodingError(f"{path}.name", f"is no plain file name below {IN}/")


def _no_array_out(name: str, _array: NDArray[Any]) -> str:
    raise TypeError(f"a request holds no array, but {name} is one")


def _no_array_in(path: str, _field: str, _name: str) -> NDArray[Any]:
    raise EncodingError(path, "a request holds no array")


# --- the result ----------------------------------------------------------------------------------


def write_result(folder: Path, result: Result) -> None:
    """Write the arrays and then `out/result.json`: fsync'ed, and there only when it is whole."""
    out = folder / OUT
    count = 0

    def write_array(name: str, array: NDArray[Any]) -> str:
        nonlocal count
        count += 1
        file_name = f"{name}-{count}.npy"
        with (out / file_name).open("wb") as file:
            np.save(file, np.ascontiguousarray(_as_stored(name, array)), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        return file_name

    _write_json(out, RESULT, encoding.encode(result, write_array))


def _as_stored(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if name == "labels":  # 65,535 labels are the most that a segmentation may have
        return array.astype(np.uint8 if array.size == 0 or array.max() < 256 else np.uint16, copy=False)
    return array


def read_result(folder: Path, request: Request) -> Result:
    """Read what the plugin's process left in `out/`, trusting nothing.

    `request` is the node's own copy of what was asked, not the file: the plugin could have changed that.
    Raises `ExchangeError` where the result is missing, malformed, too large, leaves `out/`, or refers to
    an instance, frame or frame of reference that was not handed over.
    """
    with _open_folder(folder / OUT, f"{OUT}/") as descriptor:
        document = _read_json(descriptor, RESULT, f"{OUT}/{RESULT}")
        decoder = encoding.Decoder(read_array=_ArrayFiles(descriptor), check=_Inputs.of(request))
        try:
            result = decoder.decode(Result, document)
        except EncodingError as error:
            raise ExchangeError(f"{OUT}/{RESULT}", error.path, error.problem) from error
    assert isinstance(result, Result)
    return result


@dataclass(frozen=True)
class _Inputs:
    """What a result may refer to: frames of each instance, the series it is in, the frames of reference."""

    frames: Mapping[str, int]
    series: Mapping[str, str]
    frames_of_reference: frozenset[str]

    @classmethod
    def of(cls, request: Request) -> _Inputs:
        files = [(series, file) for series in request.series for file in series.files]
        return cls(
            frames={file.sop_instance_uid: file.frames for _, file in files},
            series={file.sop_instance_uid: series.series_instance_uid for series, file in files},
            frames_of_reference=frozenset(
                file.frame_of_reference_uid for _, file in files if file.frame_of_reference_uid
            ),
        )

    def __call__(self, path: str, value: Any) -> None:
        if isinstance(value, ImageReference):
            self._check_image(path, value)
        elif isinstance(value, Segmentation | Heatmap):
            self._check_frames(f"{path}.frames", value.frames)
        else:
            self._check_frame_of_reference(path, getattr(value, "frame_of_reference_uid", None))

    def _check_image(self, path: str, image: ImageReference) -> None:
        known = self.frames.get(image.sop_instance_uid)
        if known is None:
            raise EncodingError(
                f"{path}.sop_instance_uid", "is no instance that the plugin was given: the result is refused"
            )
        if image.frame_number > known:
            raise EncodingError(f"{path}.frame_number", f"{image.frame_number}, but the instance has {known} frames")

    def _check_frames(self, path: str, frames: tuple[ImageReference, ...]) -> None:
        if len(set(frames)) != len(frames):
            raise EncodingError(path, "names a frame twice")
        if len({self.series[frame.sop_instance_uid] for frame in frames}) > 1:
            raise EncodingError(path, "mixes frames of several series")

    def _check_frame_of_reference(self, path: str, uid: str | None) -> None:
        if uid is not None and uid not in self.frames_of_reference:
            raise EncodingError(
                f"{path}.frame_of_reference_uid", "is no frame of reference of the instances that the plugin was given"
            )


# --- files, safely -------------------------------------------------------------------------------


class _ArrayFiles:
    """Reads arrays by name from one folder, within a budget for all of them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes_left = ARRAY_BYTES
        self._files_left = ARRAY_FILES

    def __call__(self, path: str, field_name: str, name: str) -> NDArray[Any]:
        place = f"{path}.array"
        if not _ARRAY_NAME.fullmatch(name):
            raise EncodingError(place, f"{name[:64]!r} is no plain name of a .npy file in {OUT}/")
        self._files_left -= 1
        if self._files_left < 0:
            raise EncodingError(place, f"more than {ARRAY_FILES} arrays")
        try:
            with _open_file(self._descriptor, name) as file:
                return self._read(file, place, *_ARRAY_TYPES[field_name])
        except EncodingError:
            raise
        except _UNREADABLE as error:
            raise EncodingError(place, f"{OUT}/{name} cannot be read: {error}") from error

    def _read(self, file: BinaryIO, path: str, types: tuple[str, ...], dimensions: tuple[int, ...]) -> NDArray[Any]:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise EncodingError(path, f"has version {version} of the .npy format, expected 1.0 or 2.0")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        if dtype.name not in types or not dtype.isnative:
            raise EncodingError(path, f"has the type {dtype}, expected little-endian {' or '.join(types)}")
        if len(shape) not in dimensions or min(shape) < 1:
            raise EncodingError(path, f"has the shape {shape}, expected {dimensions[-1]} dimensions, none empty")
        size = math.prod(shape) * dtype.itemsize
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise EncodingError(path, f"the arrays of the result have more than {ARRAY_BYTES // 2**20} MiB")
        there = os.fstat(file.fileno()).st_size - file.tell()
        if there != size:
            raise EncodingError(path, f"has {there} bytes behind its header, which announces {size}")
        flat = np.fromfile(file, dtype=dtype, count=math.prod(shape))
        return flat.reshape(shape, order="F" if fortran_order else "C")


@contextmanager
def _open_folder(folder: Path, name: str) -> Iterator[int]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ExchangeError(name, "", f"is no folder that can be read ({error.strerror})") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _open_file(folder: int, name: str) -> Iterator[BinaryIO]:
    """Open a regular file of a folder, never a link, a pipe or a device; raises OSError or ValueError."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_nlink > 1:
            raise ValueError("it is a hard link to another file")
        yield file


def _read_json(folder: int, name: str, shown: str) -> dict[str, Any]:
    try:
        with _open_file(folder, name) as file:
            raw = file.read(JSON_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise ExchangeError(shown, "", reason) from error
    if len(raw) > JSON_BYTES:
        raise ExchangeError(shown, "", f"has more than {JSON_BYTES // 2**20} MiB")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except RecursionError as error:
        raise ExchangeError(shown, "", "is nested too deeply") from error
    except ValueError as error:  # also JSONDecodeError and UnicodeDecodeError
        raise ExchangeError(shown, "", f"is not valid JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise ExchangeError(shown, "$", "expected an object")
    version = document.pop("schema", None)
    if version != SCHEMA or isinstance(version, bool):
        raise ExchangeError(shown, "$.schema", f"expected {SCHEMA}, which is the version this program understands")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _write_json(folder: Path, name: str, document: dict[str, Any]) -> None:
    part = folder / f"{name}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump({"schema": SCHEMA, **document}, file, ensure_ascii=False, allow_nan=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
