"""The five answers, what is wrong with one of them, and the file that they make."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from node.config.problems import ConfigurationError, closest
from node.desk import peers, site
from node.desk.doctor.network_checks import what_to_enter
from node.dimse.scu import Peer
from node.errors import UsageError

_TEMPLATE = "config.yaml.template"
_SENDER = re.compile(r"(?P<title>[^@]+)(@(?P<address>[0-9A-Fa-f.:/]+))?")
_LOCAL_TIME = Path("/etc/localtime")
_ZONES = "zoneinfo/"
_SETTINGS, _STATES = Path("/etc"), Path("/var/lib")
"""hier(7): what is configured in the one keeps its data in the other, for a service may not write into /etc."""


@dataclass(frozen=True, slots=True)
class FirstSender:
    """Who sends images to the node."""

    ae_title: str
    address: str | None
    """An address or network that it has to call from; None: any."""


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """What a configuration begins with."""

    ae_title: str
    port: int
    senders: Sequence[FirstSender]
    """Beside the PACS, which may send in any case."""
    pacs: Peer
    time_zone: str


def port(text: str) -> int:
    """UsageError where it is none."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise UsageError(f"{text} is not a port: 1 to 65535; 104 and 11112 are DICOM's own")
    return int(text)


def sender(text: str) -> FirstSender:
    """`AET` or `AET@ADDRESS`; UsageError."""
    written = _SENDER.fullmatch(text.strip())
    if written is None:
        raise UsageError(f"{text!r} is not a sender: write its AE title, or AET@ADDRESS, as in CT1@10.1.2.3")
    return FirstSender(peers.ae_title(written["title"]), written["address"])


def pacs(text: str, own_title: str) -> Peer:
    """`AET@host:port`; UsageError."""
    found = peers.written(text)
    if found is None:
        raise UsageError(f"{text!r} is not a PACS: write AET@HOST:PORT, as in PACS@10.0.0.5:104")
    title, host, number = found
    return Peer(host, number, title, own_title, timeout=10.0)


def time_zone(text: str) -> str:
    """UsageError where it is not a name of IANA's."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        from zoneinfo import available_timezones  # reads some hundred files

        near = closest(text, sorted(available_timezones()))
        hint = f'; did you mean "{near}"?' if near else ""
        raise UsageError(f"{text!r} is not a time zone, as in Asia/Seoul or Europe/Berlin{hint}") from error
    return text


def zone_of_machine() -> str | None:
    """The IANA name of the machine's own time zone; None where it is not known."""
    try:
        name = str(_LOCAL_TIME.resolve(strict=True)).partition(_ZONES)[2]
        return name if name and ZoneInfo(name) else None
    except (OSError, ZoneInfoNotFoundError, ValueError):
        return None


def write(path: Path, answers: FirstAnswers) -> None:
    """Write the configuration, readable to its owner and group alone, and read it back.

    UsageError where there is one already, where it cannot be made, and where what was answered does not fit together:
    then no file is left.
    """
    text = _text(answers, _data(path))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError as error:
        raise UsageError(already_there(path)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        site.load(path)
    except ConfigurationError as error:
        path.unlink()
        told = "\n".join(each.message for each in error.problems)
        raise UsageError(f"these answers do not fit together:\n{told}") from error


def already_there(path: Path) -> str:
    """Why nothing is written."""
    return f"{path} is there already, and is left as it is; --config PATH names another one"


def _data(config: Path) -> Path:
    """Beside the configuration; of /etc/pacsnode/config.yaml it is /var/lib/pacsnode/data."""
    folder = config.absolute().parent
    return _STATES / folder.relative_to(_SETTINGS) / "data" if _SETTINGS in folder.parents else Path("data")


def _text(answers: FirstAnswers, data: Path) -> str:
    template = files("node.desk.first_steps").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return Template(template).substitute(
        ae_title=_quoted(answers.ae_title),
        port=answers.port,
        data=data,
        time_zone=answers.time_zone,
        modalities="\n".join(_modalities(answers)),
        pacs_ae_title=_quoted(answers.pacs.ae_title),
        pacs_host=answers.pacs.host,
        pacs_port=answers.pacs.port,
    )


def _modalities(answers: FirstAnswers) -> Iterator[str]:
    if not answers.senders:
        yield "# Nobody but the PACS, which is below. A scanner that sends here itself, too:"
        yield "# modalities:"
        yield "#   ct1: {ae_title: CT1, addresses: [10.1.2.3]}"
        yield ""
        return
    yield "modalities:"
    taken: set[str] = set()
    for each in answers.senders:
        name = re.sub(r"[^a-z0-9]+", "-", each.ae_title.lower()).strip("-") or "modality"
        while name in taken:
            name += "-2"
        taken.add(name)
        yield f"  {name}:"
        yield f"    ae_title: {_quoted(each.ae_title)}"
        if each.address:
            yield f'    addresses: ["{each.address}"]'
    yield ""


def _quoted(title: str) -> str:
    """YAML takes an AE title such as 1234 or NO for something else."""
    return '"' + title.replace('"', '\\"') + '"'


def in_the_pacs(answers: FirstAnswers) -> list[str]:
    """What the people of the PACS have to do."""
    return [
        what_to_enter(answers.pacs, answers.port),
        f"Allow {answers.ae_title} to store (C-STORE) and to query (C-FIND, Study Root, study level).",
        f"Forward the studies that are to be analysed to {answers.ae_title}.",
    ]
