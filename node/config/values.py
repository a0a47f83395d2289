"""Kinds of value that the configuration is written in: durations, sizes, AE titles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from node.dicom.character_sets import are_defined_terms, defined_term

Network = IPv4Network | IPv6Network

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d|y)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]i?B|B)")
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_CHARACTER_SETS = "as in ISO_IR 192 (UTF-8), ISO_IR 100 (Latin-1) or ISO 2022 IR 149 (EUC-KR)"
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def parse_duration(value: Any) -> timedelta:
    """ "60s", "5m", "2h", "1d", "2y" (of 365 days) → timedelta; a bare number is refused: nobody remembers its unit."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{value!r} is not a duration: write a number and its unit (ms, s, m, h, d or y), as in 60s or 5m"
        )
    return timedelta(seconds=float(match["number"]) * _SECONDS[match["unit"]])


def parse_size(value: Any) -> int:
    """ "4GiB", "500MB" → bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size: write a number and its unit (MB, GB, MiB, GiB), as in 4GiB")
    return int(float(match["number"]) * _BYTES[match["unit"]])


def check_ae_title(value: str) -> str:
    """An AE title: 1 to 16 characters of the default repertoire, no backslash or control (PS3.5 6.2, AE)."""
    if not 1 <= len(value.strip()) <= 16:
        raise ValueError(f"{value!r} is not an AE title: 1 to 16 characters")
    if any(not 0x20 <= ord(character) < 0x7F or character == "\\" for character in value):
        raise ValueError(f"{value!r} is not an AE title: printable ASCII without backslash")
    return value.strip()


def check_port_or_off(value: Any) -> Any:
    """A text is a number, or says that there is no port."""
    if isinstance(value, str) and value != "off" and not value.strip().isdigit():
        raise ValueError(f'expected a port number or off, got "{value}"')
    return value


def check_table_or_off(value: Any) -> Any:
    """A text says that there is none."""
    if isinstance(value, str) and value != "off":
        raise ValueError(f'expected settings or off, got "{value}"')
    return value


def check_host(value: str) -> str:
    """The name or address of a machine, as the system can look it up."""
    try:
        named = value.encode("idna")
    except UnicodeError:
        named = b""
    if not named or not value.isprintable() or any(character in " /@\\" for character in value):
        raise ValueError(f"{value!r} is not a name or address of a machine: write it as in pacs.hospital.example")
    return value


def check_character_set(value: str) -> str:
    r"""A value of Specific Character Set (PS3.3 C.12.1.1.2), several joined by a backslash: `\ISO 2022 IR 149`."""
    labels = [label.strip() for label in value.split("\\")]
    if labels != [""] and are_defined_terms(labels):
        return "\\".join(labels)
    meant = "\\".join(defined_term(label) for label in labels)
    hint = f"did you mean {meant}?" if meant != value and are_defined_terms(meant.split("\\")) else _CHARACTER_SETS
    raise ValueError(f"{value!r} is not a Specific Character Set (PS3.3 C.12.1.1.2): {hint}")


def check_fingerprint(value: str) -> str:
    """A SHA-256 fingerprint, with or without colons, as 64 hexadecimal digits in lower case."""
    digits = value.replace(":", "").strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError(
            f"{value!r} is not a SHA-256 fingerprint: 64 hexadecimal digits, as "
            "`openssl x509 -noout -fingerprint -sha256` prints them"
        )
    return digits


def duration_text(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back."""
    seconds = value.total_seconds()
    for unit in ("y", "d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def span_text(value: timedelta) -> str:
    """A period for people, in its largest fitting unit: `40 seconds`, `3 hours`, `7 days`."""
    seconds = max(0, int(value.total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if count := seconds // length:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a second"


def is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value of a document is `key: value`."""
    return isinstance(value, Mapping)


def section(value: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping at these keys; empty where there is none or it is something else."""
    for key in keys:
        value = value.get(key) if is_mapping(value) else None
    return value if is_mapping(value) else {}


AETitle = Annotated[str, AfterValidator(check_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, AfterValidator(check_host)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(duration_text, return_type=str),
]
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=str | int)]
