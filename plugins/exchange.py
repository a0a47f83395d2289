"""The folder through which the node and a plugin's process talk: files only, versioned, checked.

    <folder>/request.json   what is asked; the plugin reads it
    <folder>/in/            copies of the chosen instances
    <folder>/in/results/    results of earlier steps of the rule, a folder each (`plugins.handed_on`)
    <folder>/out/           the plugin writes here, and only here: arrays (.npy), documents (.pdf),
                            DICOM objects, then result.json
    <folder>/scratch/       temporary files of the plugin, never read by the node

`out/result.json` is written under another name and renamed when it is whole: a result that is
there is complete. What it holds comes from a program that may be broken or hostile, so
`read_result` bounds every size before it allocates, follows no link, opens nothing outside `out/`
and refuses a result that names an instance the plugin was not given (another patient, another study).
Every `ExchangeError` names the file and the JSON path.

Needs the standard library and numpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from plugins import encoding, handed_on, json_schema, writing
from plugins.allowed_parts import AllowedParts, GivenImage
from plugins.contract import Result, Series, Study
from plugins.earlier import EarlierParts
from plugins.encoding import EncodingError
from plugins.object_files import ObjectFiles
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
RESULTS = "results"
"""In `in/`."""
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
class InputResult:
    """The result of an earlier step of the rule: the name that the rule gives it, and who made it."""

    name: str
    step: str
    plugin: str
    version: str

    @property
    def folder(self) -> str:
        """The folder below `in/` that holds its result.json and the arrays that this names."""
        return f"{RESULTS}/{self.name}"


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
    results: tuple[InputResult, ...] = ()
    """What earlier steps of the rule found; each is in a folder below `in/`."""

    def open(self, folder: Path) -> Study:
        """The study as a plugin is given it, with paths below `folder`; raises `ExchangeError`."""
        earlier = {each.name: handed_on.read(folder / IN / each.folder) for each in self.results}
        masks = {name: each.segmentation for name, each in earlier.items() if each.segmentation is not None}
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
            masks=EarlierParts(masks, named=tuple(earlier), kind="segmentation"),
            findings=EarlierParts({name: each.findings for name, each in earlier.items()}, named=tuple(earlier)),
        )


def write_request(folder: Path, request: Request) -> None:
    """Write `request.json` and make `out/` and `scratch/`; the instances are in `in/` already.

    So are the results of earlier steps. Raises `ExchangeError` where a file of the request is not there or has a name
    that could leave `in/`.
    """
    for series_index, series in enumerate(request.series):
        for index, file in enumerate(series.files):
            place = f"$.series[{series_index}].files[{index}].name"
            if not _INPUT_NAME.fullmatch(file.name):
                raise ExchangeError(REQUEST, place, f"{file.name!r} is not a plain file name below {IN}/")
            if not (folder / IN / file.name).is_file():
                raise ExchangeError(REQUEST, place, f"{IN}/{file.name} is not there")
    for index, each in enumerate(request.results):
        if not (folder / IN / each.folder / handed_on.RESULT).is_file():
            raise ExchangeError(REQUEST, f"$.results[{index}].name", f"{IN}/{each.folder} has no {handed_on.RESULT}")
    (folder / OUT).mkdir(exist_ok=True)
    (folder / SCRATCH).mkdir(exist_ok=True)
    writing.write_json(folder, REQUEST, encoding.encode(request))


def request_bytes(request: Request) -> bytes:
    """The content of `request.json`."""
    return writing.as_json(encoding.encode(request))


def read_request(folder: Path) -> Request:
    """Read `request.json`; raises `ExchangeError`."""
    with open_folder(folder, folder.name) as descriptor:
        document = read_json(descriptor, REQUEST, REQUEST)
    decoder = encoding.Decoder(_check_input_name)
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


# --- the result ----------------------------------------------------------------------------------


def write_result(folder: Path, result: Result) -> None:
    """Write arrays, documents and objects, then `out/result.json`: fsync'ed, and there only when it is whole.

    The file of an object is copied to `out/dicom/` unless it is in `out/` already; ContractError where it cannot be
    read.
    """
    writing.write(folder / OUT, RESULT, result)


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
        inputs = AllowedParts(given_images(request))
        arrays, objects = ArrayFiles(descriptor, OUT), ObjectFiles(descriptor, folder / OUT)
        decoder = encoding.Decoder(inputs.check, inputs.planes, arrays, objects, arrays.read_content)
        try:
            result = decoder.decode(Result, document)
        except EncodingError as error:
            raise ExchangeError(f"{OUT}/{RESULT}", error.path, error.problem) from error
        ignored = strays(descriptor, OUT, {RESULT, LOG, ERROR, *arrays.named, *objects.named})
        failed_at = read_line(descriptor, ERROR)
    assert isinstance(result, Result)
    return OutputReading(result, ignored, failed_at)


def given_images(request: Request) -> dict[str, GivenImage]:
    """What a result may say of each instance of a request, by SOP Instance UID."""
    return {
        file.sop_instance_uid: GivenImage(
            series.series_instance_uid, file.frames, file.frame_of_reference_uid, file.rows, file.columns
        )
        for series in request.series
        for file in series.files
    }
