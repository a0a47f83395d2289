"""What a rule says about telling people, by results and by messages: who there is, and what silence means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from node.config.destinations import Destination
from node.config.people import read_secret
from node.config.problems import Problem, closest
from node.config.source import Document, YamlPath
from node.config.values import is_mapping, section

_FILES: Mapping[str, Literal["ascii", "latin-1"] | None] = {
    "token_file": "latin-1",
    "password_file": "ascii",
    "client_secret_file": "ascii",
    "authorities": None,
    "launch_key": "ascii",
}
"""Files that are named, and in which characters what they hold is sent."""
_ALWAYS = ("findings", "failed")
_EITHER = ("no_findings", "not_applicable")


def problems(
    document: Document, rule: Mapping[str, Any], path: YamlPath, destinations: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Contradictions of one rule, each at its place."""
    yield from _whom(document, rule, path)
    sent = _many(rule.get("send_when"))
    if not sent or not any(_is_for_readers(destinations.get(name, {})) for name in _many(rule.get("send"))):
        return
    place = (*path, "send_when")
    if missing := [status for status in _ALWAYS if status not in sent]:
        message = f"readers would not learn of {' and '.join(missing)}: add {', '.join(missing)}"
        yield document.problem(place, message)
    elif not set(_EITHER) & set(sent):
        message = "readers who see nothing could not tell no_findings from not_applicable: add one of them"
        yield document.problem(place, message)


def _whom(document: Document, rule: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    """People that a rule names and the configuration does not know."""
    for place, told in _notices(rule):
        for key in ("whom", "then"):
            yield from _known(document, told.get(key), (*path, *place, key))
        if rule.get("mode") == "shadow":
            yield document.problem((*path, *place), "a rule of mode shadow notifies nobody: take it out", key=True)


def _notices(rule: Mapping[str, Any]) -> Iterator[tuple[YamlPath, Mapping[str, Any]]]:
    """Each part of a rule that says who is notified, with its place."""
    notify = rule.get("notify")
    for index, each in enumerate(notify if isinstance(notify, list) else ()):
        if is_mapping(each):
            yield ("notify", index), each
    for keys in (("notify",), ("wait", "notify"), ("expires", "notify")):
        if told := section(rule, *keys):
            yield keys, told


def _known(document: Document, names: Any, place: YamlPath) -> Iterator[Problem]:
    known = section(document.value, "people")
    for index, name in enumerate(_many(names)):
        if name not in known:
            meant = closest(name, known)
            there = f"; there is {', '.join(known)}" if known and meant is None else ""
            at = (*place, index) if isinstance(names, list) else place
            yield document.problem(at, f'there is nobody called "{name}" under people{there}', meant)


def people(document: Document, folder: Path) -> Iterator[Problem]:
    """What is missing for notifications to be sent."""
    mail = section(document.value, "notify", "mail")
    for name, person in section(document.value, "people").items():
        path: YamlPath = ("people", name)
        if is_mapping(person) and person.get("email") is not None and not mail:
            message = "nothing could be sent there: no mail server is given (notify.mail)"
            yield document.problem((*path, "email"), message)
        yield from files(document, (*path, "webhook"), section(person, "webhook"), folder)
    yield from files(document, ("notify", "mail"), mail, folder)
    yield from _known(document, section(document.value, "alerts").get("to"), ("alerts", "to"))
    heartbeat = section(document.value, "heartbeat")
    yield from files(document, ("heartbeat",), heartbeat, folder)
    file = heartbeat.get("file")
    if isinstance(file, str) and not (folder / file).parent.is_dir():
        yield document.problem(("heartbeat", "file"), f"there is no folder {(folder / file).parent.resolve()}")


def files(document: Document, path: YamlPath, part: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Files that a connection rests on, which are not there, or could never be used."""
    for key, charset in _FILES.items():
        if not isinstance(part.get(key), str):
            continue
        file = folder / part[key]
        if not file.is_file():
            yield document.problem((*path, key), f"there is no file {file.resolve()}")
        elif charset is not None and (why := _unusable(file, charset)):
            yield document.problem((*path, key), why)


def _unusable(file: Path, charset: Literal["ascii", "latin-1"]) -> str:
    """Why what a file holds could never be sent; empty where it could, or who asks may not read it."""
    try:
        read_secret(file, charset)
    except PermissionError:  # who asks is not always who serves
        return ""
    except OSError as error:
        return f"{file}: it cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return ""


def _is_for_readers(destination: Mapping[str, Any]) -> bool:
    return bool(destination.get("audience", Destination.model_fields["audience"].default) == "readers")


def _many(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
