"""The contract's dataclasses as JSON and back, from one source: their type hints (`plugins.json_schema` too).

Each dataclass is an object with its field names as keys; fields that have their default are left
out. A union of dataclasses (the regions) carries its class in `"type"`. Arrays of coordinates are
in the JSON; every other array is a file that the JSON names: `{"array": "labels.npy"}`, and so are bytes:
`{"file": "report.pdf"}`. A path is the name of a file.

Reading is strict, because what is read may come from a broken or hostile program: unknown keys,
wrong types, numbers that are not finite, control characters and oversized lists are refused, and
every error says where: `$.findings[0].measurements[2].unit.code: …`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import limits
from plugins.contract import ContractError, Region
from plugins.fields import bad_character
from plugins.spelling import did_you_mean

ArrayWriter = Callable[[str, NDArray[Any]], str]
"""(field name, array) → name of the file it was written to."""
FileWriter = Callable[[Path], str]
"""A file → the name under which it was put beside the JSON."""
ContentWriter = Callable[[str, bytes], str]
"""(field name, content) → name of the file it was written to."""
FileReader = Callable[[str, str], Path]
"""(JSON path, file name) → the file beside the JSON; raises `EncodingError`."""
ContentReader = Callable[[str, str], bytes]
"""(JSON path, file name) → what the file beside the JSON holds; raises `EncodingError`."""


class Planes(typing.NamedTuple):
    """What an array has to lie on, plane by plane."""

    sizes: Sequence[tuple[int, int] | None]
    """Rows and columns of the image under each plane; None where they are not known."""
    flat: bool = False
    """Whether the array is one of several, for one plane each."""


ArrayReader = Callable[[str, str, str, Planes | None], NDArray[Any]]
"""(JSON path, field name, file name, what it has to lie on) → the array; raises `EncodingError`."""
PlanesOf = Callable[[str, Mapping[str, Any], int | None], Planes | None]
"""(JSON path, the other fields of the object that has the array, which of several arrays) → what it has to lie on."""
Check = Callable[[str, Any], None]
"""(JSON path, object just read) → raises `EncodingError` where it may not be there."""


class EncodingError(ValueError):
    """JSON that is not what it should be; the message begins with the JSON path."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


# --- writing -------------------------------------------------------------------------------------


def _not_written(*what: Any) -> str:
    raise TypeError(f"this JSON is to name no files, but {what[0]} would be one")


@dataclasses.dataclass(frozen=True, slots=True)
class Writers:
    """Where what does not belong into JSON goes; without them it is a TypeError."""

    array: ArrayWriter = _not_written
    file: FileWriter = _not_written
    content: ContentWriter = _not_written


NO_FILES = Writers()
"""For what is nothing but JSON."""


def encode(value: Any, writers: Writers = NO_FILES) -> Any:
    """`value` as what `json.dumps` takes; arrays and files that do not belong into JSON go through `writers`."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return writers.file(value)
    if isinstance(value, tuple | list):
        return [encode(item, writers) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item, writers) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_object(value, writers)
    return value


def _encode_object(value: Any, writers: Writers) -> dict[str, Any]:
    encoded: dict[str, Any] = {"type": type(value).__name__} if is_variant(type(value)) else {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, np.ndarray):
            inline = field.name == "points"
            encoded[field.name] = item.tolist() if inline else {"array": writers.array(field.name, item)}
        elif isinstance(item, bytes):
            encoded[field.name] = {"file": writers.content(field.name, item)}
        elif isinstance(item, tuple) and item and all(isinstance(part, np.ndarray) for part in item):
            encoded[field.name] = [{"array": writers.array(field.name, part)} for part in item]
        elif not _is_default(field, item):
            encoded[field.name] = encode(item, writers)
    return encoded


def _is_default(field: dataclasses.Field[Any], item: Any) -> bool:
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return default is not dataclasses.MISSING and type(item) is type(default) and bool(item == default)


def is_variant(cls: type) -> bool:
    """Whether `cls` is a choice among others (a region), so that the JSON must name it."""
    return cls in typing.get_args(Region)


# --- reading -------------------------------------------------------------------------------------


def _unchecked(_path: str, _value: Any) -> None:
    """Whatever is well formed may be there."""


def _on_nothing(_path: str, _fields: Mapping[str, Any], _index: int | None) -> None:
    """What has no array lies on nothing."""


def _not_read(path: str, *_: Any) -> Any:
    raise EncodingError(path, "no file is expected here")


@dataclasses.dataclass(frozen=True, slots=True)
class Decoder:
    """Reads JSON values into typed objects; `check` sees each dataclass after it is made.

    A kind of file that it has no reader for is an `EncodingError`.
    """

    check: Check = _unchecked
    planes: PlanesOf = _on_nothing
    read_array: ArrayReader = _not_read
    read_file: FileReader = _not_read
    read_content: ContentReader = _not_read

    def decode(self, hint: Any, value: Any, path: str = "$", most: int = limits.FRAMES) -> Any:
        """`value` as an instance of the type `hint`, a list of at most this many items; raises `EncodingError`."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments, value, path)
        if origin is tuple:
            return self._tuple(arguments, value, path, most)
        if origin is not None and issubclass(origin, Mapping):
            return self._scalars(value, path)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._object(hint, value, path)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return _enumerated(hint, value, path)
        if hint is Path:
            return self.read_file(path, _text(value, path))
        if hint is bytes:
            return self._content(value, path)
        return _SCALARS[hint](value, path)

    def _content(self, value: Any, path: str) -> bytes:
        reference = _mapping(value, path)
        if set(reference) != {"file"}:
            raise EncodingError(path, 'expected {"file": "<file in out/>.pdf"}')
        return self.read_content(path, _text(reference["file"], f"{path}.file"))

    def _union(self, arguments: tuple[Any, ...], value: Any, path: str) -> Any:
        choices = [argument for argument in arguments if argument is not type(None)]
        if value is None and len(choices) < len(arguments):
            return None
        if len(choices) == 1:
            return self.decode(choices[0], value, path)
        by_name = {choice.__name__: choice for choice in choices}
        name = _mapping(value, path).get("type")
        if not isinstance(name, str) or name not in by_name:
            raise EncodingError(f"{path}.type", f"{name!r} is none of {', '.join(by_name)}")
        return self._object(by_name[name], {key: item for key, item in value.items() if key != "type"}, path)

    def _tuple(self, arguments: tuple[Any, ...], value: Any, path: str, most: int) -> tuple[Any, ...]:
        items = _list(value, path, most)
        if arguments[-1] is Ellipsis:
            return tuple(self.decode(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(items))
        if len(items) != len(arguments):
            raise EncodingError(path, f"{len(items)} items, expected {len(arguments)}")
        return tuple(
            self.decode(argument, item, f"{path}[{index}]")
            for index, (argument, item) in enumerate(zip(arguments, items, strict=True))
        )

    def _scalars(self, value: Any, path: str) -> dict[str, Any]:
        """A mapping of names to plain values (parameters)."""
        result: dict[str, Any] = {}
        for key, item in _mapping(value, path).items():
            place = f"{path}.{_text(key, path)[:64]}"
            if isinstance(item, bool | int):
                result[key] = item
            elif isinstance(item, float):
                result[key] = _number(item, place)
            else:
                result[key] = _text(item, place)
        return result

    def _object(self, cls: type, value: Any, path: str) -> Any:
        given = _mapping(value, path)
        hints = field_types(cls)
        for key in given:
            if key not in hints:
                raise EncodingError(path, f"unknown key {key[:64]!r}{did_you_mean(key, hints)}")
        arguments: dict[str, Any] = {}
        # Arrays last: what else is there says how large they have to be.
        for field in sorted(dataclasses.fields(cls), key=lambda each: is_array(hints[each.name])):
            place = f"{path}.{field.name}"
            if field.name in given and is_array(hints[field.name]):
                planes = functools.partial(self.planes, place, arguments)
                arguments[field.name] = self._field(hints[field.name], field.name, given[field.name], place, planes)
            elif field.name in given:
                most = limits.LISTS.get(f"{cls.__name__}.{field.name}", limits.FRAMES)
                arguments[field.name] = self.decode(hints[field.name], given[field.name], place, most)
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise EncodingError(path, f"{field.name!r} is missing")
        try:
            made = cls(**arguments)
        except ContractError as error:
            raise EncodingError(path, str(error)) from error
        self.check(path, made)
        return made

    def _field(self, hint: Any, name: str, value: Any, path: str, planes: Callable[[int | None], Planes | None]) -> Any:
        """A field that holds an array, or several."""
        if name == "points":
            return _points(value, path)
        if isinstance(value, list) and typing.get_origin(hint) is not np.ndarray:  # or one array for each of several
            parts = _list(value, path, limits.ARRAY_FILES)
            return tuple(self._array(name, each, f"{path}[{n}]", planes(n)) for n, each in enumerate(parts))
        return self._array(name, value, path, planes(None))

    def _array(self, name: str, value: Any, path: str, planes: Planes | None) -> NDArray[Any]:
        reference = _mapping(value, path)
        if set(reference) != {"array"}:
            raise EncodingError(path, 'expected {"array": "<file in out/>.npy"}')
        return self.read_array(path, name, _text(reference["array"], f"{path}.array"), planes)


def is_array(hint: Any) -> bool:
    """Whether a field holds an array, or may hold one."""
    choices = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return any(typing.get_origin(choice) is np.ndarray for choice in choices)


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Type of each field of a dataclass, resolved."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EncodingError(path, f"expected an object, got {_describe(value)}")
    return value


def _list(value: Any, path: str, limit: int) -> list[Any]:
    if not isinstance(value, list):
        raise EncodingError(path, f"expected a list, got {_describe(value)}")
    if len(value) > limit:
        raise EncodingError(path, f"{len(value)} items, at most {limit}")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise EncodingError(path, f"expected a text, got {_describe(value)}")
    if len(value) > limits.TEXT:
        raise EncodingError(path, f"{len(value)} characters, at most {limits.TEXT}")
    bad = bad_character(value)
    if bad:
        raise EncodingError(path, f"holds the character U+{ord(bad):04X}, which no DICOM text may hold")
    return value


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EncodingError(path, f"expected a number, got {_describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise EncodingError(path, "is not a finite number")
    return number


def _integer(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise EncodingError(path, f"expected a whole number, got {_describe(value)}")
    if abs(value) >= 2**53:
        raise EncodingError(path, "is too large for a whole number in JSON")
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise EncodingError(path, f"expected true or false, got {_describe(value)}")
    return value


def _date(value: Any, path: str) -> date:
    try:
        return date.fromisoformat(_text(value, path))
    except ValueError as error:
        raise EncodingError(path, "is not a date (YYYY-MM-DD)") from error


def _enumerated(cls: type[StrEnum], value: Any, path: str) -> StrEnum:
    text = _text(value, path)
    try:
        return cls(text)
    except ValueError:
        raise EncodingError(path, f"{text[:64]!r} is none of {', '.join(cls)}") from None


def _points(value: Any, path: str) -> NDArray[np.float64]:
    rows = _list(value, path, limits.POINTS_A_REGION)
    points = [
        [_number(item, f"{path}[{index}]") for item in _list(row, f"{path}[{index}]", 3)]
        for index, row in enumerate(rows)
    ]
    if len({len(row) for row in points}) != 1:
        raise EncodingError(path, "expected points of 2 or of 3 numbers each")
    return np.array(points, dtype=np.float64)


def _describe(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


_SCALARS: dict[Any, Callable[[Any, str], Any]] = {
    str: _text,
    float: _number,
    int: _integer,
    bool: _boolean,
    date: _date,
}
