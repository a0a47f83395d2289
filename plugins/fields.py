"""What an author may write into a field: what has one certain meaning is taken as that, and all else is refused.

A NumPy number is a number, a list is as good as a tuple, one finding is a list of one. What could mean two things is
refused in the line that made it, and the message says what to write instead.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from plugins.images import ContractError, require

_Made = TypeVar("_Made")
_Member = TypeVar("_Member", bound=StrEnum)
_SHOWN = 60
"""Characters of a refused value that a message shows."""


def shown(value: object) -> str:
    """A refused value for a message: its type, and the beginning of what it is."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = repr(value)
    return f"{text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''} ({type(value).__name__})"


def number(value: object, name: str) -> float:
    """A number of Python, NumPy or a tensor of no dimensions, as float; it may be infinite or not a number."""
    if isinstance(value, float) and type(value) is float:
        return value
    if isinstance(value, bool | np.bool_):
        raise ContractError(f"{name}: {value} is true or false, not a number; write 1.0 or 0.0 where that is meant")
    shape = getattr(value, "shape", ())
    if tuple(shape) != ():
        raise ContractError(
            f"{name}: has the shape {tuple(shape)}, expected one number; write value[0] or value.item()"
        )
    is_other = isinstance(value, str | bytes | complex | np.complexfloating)
    convert = None if is_other else getattr(value, "__float__", None)
    if convert is None and hasattr(value, "__index__"):
        convert = getattr(value, "__index__")  # noqa: B009 - the protocol of whole numbers, whatever the type is
    if convert is None:
        raise ContractError(f"{name}: {shown(value)} is not a number")
    try:
        return float(convert())
    except (TypeError, ValueError, OverflowError) as error:
        raise ContractError(f"{name}: {shown(value)} is not a number that a float can be") from error


def whole_number(value: object, name: str) -> int:
    """A whole number, also where it comes as 3.0 from an array of floats."""
    if type(value) is int:
        return value
    result = number(value, name)
    require(math.isfinite(result) and result == int(result), f"{name}: {result:g} is not a whole number")
    return operator.index(value) if hasattr(value, "__index__") else int(result)


def truth(value: object, name: str) -> bool:
    """True or False, of Python or NumPy. A number is refused: a likelihood above 0 is not a finding."""
    if isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise ContractError(f"{name}: {shown(value)} is not True or False; write a comparison, such as score >= threshold")


def text(value: object, name: str, most: int | None = None, least: int = 1) -> str:
    """A text of `least` to `most` characters, without any that no DICOM text may hold (PS3.5 6.1.3)."""
    if not isinstance(value, str):
        raise ContractError(f"{name}: {shown(value)} is not a text")
    result = str(value)
    bad = bad_character(result)
    require(not bad, f"{name}: holds the character U+{ord(bad or ' '):04X}, which no DICOM text may hold")
    if most is not None:
        wanted = f"{least} to {most}" if least else f"at most {most}"
        require(least <= len(result) <= most, f"{name}: {len(result)} characters, expected {wanted}")
    return result


def bad_character(value: str) -> str:
    """The first character of a text that no DICOM text may hold; empty where there is none."""
    return next((c for c in value if (ord(c) < 32 and c not in "\n\t") or c == "\x7f" or 0xD800 <= ord(c) < 0xE000), "")


def member(value: object, kind: type[_Member], name: str) -> _Member:
    """A member of an enumeration, also by its value ("findings")."""
    try:
        return kind(str(value))
    except ValueError:
        known = ", ".join(repr(each.value) for each in kind)
        raise ContractError(f"{name}: {shown(value)} is none of {known}") from None


def items(
    value: object, name: str, one: type | tuple[type, ...], make: Callable[[Any, str], _Made]
) -> tuple[_Made, ...]:
    """Several things as a tuple, each by `make(item, its name)`; a single thing of the type `one` is a tuple of one."""
    if value is None:
        raise ContractError(f"{name}: None is not a list; leave the field out, or write ()")
    if isinstance(value, one):
        value = (value,)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ContractError(f"{name}: {shown(value)} is not a list")
    return tuple(make(each, f"{name}[{index}]") for index, each in enumerate(value))


def instance(kind: type | tuple[type, ...], expected: str) -> Callable[[Any, str], Any]:
    """A function for `items` that accepts what is of a type, and says what is expected otherwise."""

    def accept(value: Any, name: str) -> Any:
        if not isinstance(value, kind):
            raise ContractError(f"{name}: {shown(value)} is not {expected}")
        return value

    return accept


def array(value: object, name: str) -> NDArray[Any]:
    """An array of numbers or of truth values from what NumPy takes; texts, objects and ragged lists are refused."""
    try:
        result = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; a tensor on a GPU or with a gradient
        raise ContractError(f"{name}: cannot become an array: {error}") from error
    require(
        result.dtype.kind in "buif",
        f"{name}: {shown(value)} is not an array of numbers",
    )
    return result
