"""`pacsnode echo` and `pacsnode send`: talking to another AE by hand."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.cli import output, site
from node.cli.output import Exit, cell, table
from node.config.models import Configuration, Destination
from node.config.problems import ConfigurationError, closest, printable
from node.config.values import check_ae_title
from node.deliver.ways.dimse import peer_of
from node.dicom import report_classes
from node.dimse import scu, storage_scu
from node.dimse.contexts import UNCOMPRESSED
from node.dimse.scu import Peer
from node.dimse.status import Reading, status_text
from node.errors import NodeError, PermanentError, UsageError

_PEER = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^:@\s]+):(?P<port>\d{1,5})")
_OWN_TITLE = "PACSNODE"
"""What we call ourselves where no configuration says it."""
_NO_STUDY = "2.25.0"
"""A Study Instance UID that no study has: asking for it shows whether C-FIND is answered at all."""
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_STORED = (Reading.STORED, Reading.STORED_WITH_WARNING, Reading.ASK)

RESULT_CLASSES = {
    **{report_classes.NAMES[each]: report_classes.SOP_CLASSES[each] for each in report_classes.NAMES},
    "Secondary Capture": "1.2.840.10008.5.1.4.1.1.7",
    "Multi-frame True Color Secondary Capture": "1.2.840.10008.5.1.4.1.1.7.4",
    "Segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
    "Label Map Segmentation": "1.2.840.10008.5.1.4.1.1.66.7",
    "Parametric Map": "1.2.840.10008.5.1.4.1.1.30",
    "Grayscale Softcopy Presentation State": "1.2.840.10008.5.1.4.1.1.11.1",
    "Key Object Selection": "1.2.840.10008.5.1.4.1.1.88.59",
}
"""SOP classes that results can have (PS3.4 B.5)."""
_SYNTAX_NAMES = {
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
}

DestinationName = Annotated[
    str, typer.Argument(metavar="DEST", help="A destination from the configuration, or AET@host:port.")
]


def echo(
    destination: DestinationName,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also ask which kinds of result it accepts, and whether it answers C-FIND.")
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Check that a destination answers (C-ECHO). Exit code 1: it does not."""
    peer, known = find_peer(destination, config)
    scu.echo(peer)
    accepted = scu.probe(peer, list(RESULT_CLASSES.values()), list(UNCOMPRESSED)) if probe else None
    refusal = _why_it_cannot_be_asked(peer) if probe else None
    if as_json:
        found: dict[str, Any] = {"destination": destination, "peer": str(peer), "answers": True}
        probed = {"accepts": accepted, "answers_c_find": refusal is None} if probe else {}
        output.as_json({**found, **probed})
    else:
        console = output.console()
        console.print(cell(f"{peer} answers"))
        if accepted is not None:
            _print_probe(console, accepted, known)
            told = "It answers C-FIND, which the identity check needs"
            console.print(cell(told) if refusal is None else cell(f"! {refusal}", "bold red"))
    if refusal is not None:
        raise typer.Exit(Exit.FAILED)


def _why_it_cannot_be_asked(peer: Peer) -> str | None:
    """Why it does not answer a C-FIND; None where it does."""
    try:
        scu.find_study(peer, _NO_STUDY, ["PatientID"])
    except NodeError as error:
        return str(error)
    return None


def _print_probe(console: Console, accepted: dict[str, tuple[str, ...]], known: Destination | None) -> None:
    rows = []
    for name, uid in RESULT_CLASSES.items():
        syntaxes = ", ".join(_SYNTAX_NAMES.get(syntax, syntax) for syntax in accepted[uid])
        rows.append((cell(name), cell(syntaxes or "refused", "" if syntaxes else "yellow")))
    console.print(
        table("What it accepts (to accept is to store, not always to show)", ["Result", "Transfer syntaxes"], rows)
    )
    if known is not None and not accepted[report_classes.SOP_CLASSES[known.sr_class]]:
        refused = report_classes.NAMES[known.sr_class]
        console.print(cell(f"! sr_class: {known.sr_class} is configured, and it refuses {refused}", "bold red"))


def find_peer(name: str, config: Path) -> tuple[Peer, Destination | None]:
    """Who is meant by a destination's name or by `AET@host:port`; UsageError, ConfigurationError.

    For `AET@host:port` no configuration is needed; where there is a right one, we call ourselves as it says.
    """
    written = _PEER.fullmatch(name)
    if written is None:
        configuration = site.load(config)
        destination = configuration.destinations.get(name)
        if destination is None:
            raise UsageError(_unknown(name, configuration))
        return peer_of(destination, configuration.node.ae_title), destination
    title = _ae_title(written["title"])
    if not 1 <= int(written["port"]) <= 65535:
        raise UsageError(f"{written['port']} is not a port: 1 to 65535")
    return Peer(written["host"].strip("[]"), int(written["port"]), title, _own_title(config)), None


def _ae_title(text: str) -> str:
    try:
        return check_ae_title(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _own_title(config: Path) -> str:
    if not config.exists():
        return _OWN_TITLE
    try:
        return site.load(config).node.ae_title
    except ConfigurationError:
        output.error(f"{config} has problems (pacsnode check); calling as {_OWN_TITLE}")
        return _OWN_TITLE


def _unknown(name: str, configuration: Configuration) -> str:
    known = list(configuration.destinations)
    meant = closest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known)}" if known else "there is none"
    return f'the configuration has no destination "{name}"; {hint} (or write AET@host:port)'


@dataclass
class _Sending:
    """What became of the files."""

    stored: int = 0
    warnings: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)


def send(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="DICOM files and folders. Folders are searched recursively.")
    ],
    destination: DestinationName,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    calling: Annotated[
        str | None, typer.Option("--calling", metavar="AET", help="Calling AE title to use, as a modality would.")
    ] = None,
    as_json: site.AsJson = False,
) -> None:
    """Send DICOM files (C-STORE) as they are.

    Other files are named and skipped. Exit code 1: a file was not stored, or no DICOM file was found.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError("\n".join(f"{path}: there is no such file or folder" for path in missing))
    peer, _ = find_peer(destination, config)
    if calling is not None:
        peer = replace(peer, calling_ae_title=_ae_title(calling))
    done = _Sending()
    files = _files(paths, done)
    _send(peer, files, done, quiet=as_json)
    if as_json:
        output.as_json(
            {
                "destination": destination,
                "peer": str(peer),
                "stored": done.stored,
                "warnings": done.warnings,
                "failed": done.failed,
                "skipped": done.skipped,
            }
        )
    else:
        _print_sent(peer, files, done)
    if done.failed or not files:
        raise typer.Exit(Exit.FAILED)


def _files(paths: Sequence[Path], done: _Sending) -> list[Path]:
    """The files to be sent, each once; the others are noted with the reason."""
    found: dict[Path, Path] = {}
    for path in paths:
        for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    sendable = []
    for file in found.values():
        try:
            sop_class, _ = storage_scu.kind_of(file)
        except PermanentError as error:
            done.skipped.append({"file": str(file), "reason": str(error).removeprefix(f"{file}: ")})
            continue
        if sop_class == _MEDIA_DIRECTORY:
            done.skipped.append({"file": str(file), "reason": "a DICOMDIR, which is an index and not an object"})
        else:
            sendable.append(file)
    return sendable


def _send(peer: Peer, files: Sequence[Path], done: _Sending, quiet: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(
        *columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty(), transient=True
    )
    left = list(files)
    with progress:
        task = progress.add_task(printable(f"to {peer}"), total=len(files))
        try:
            for file, outcome in storage_scu.send(peer, files):
                left.remove(file)
                answer = None if outcome.status is None else status_text(outcome.status)
                told = {"file": str(file), "status": answer, "text": outcome.text}
                if outcome.reading not in _STORED:
                    done.failed.append(told)
                else:
                    done.stored += 1
                    if outcome.reading is not Reading.STORED:
                        done.warnings.append(told)
                progress.advance(task)
        except NodeError as error:
            done.failed += [{"file": str(file), "status": None, "text": f"not sent: {error}"} for file in left]


def _print_sent(peer: Peer, files: Sequence[Path], done: _Sending) -> None:
    for told in done.skipped:
        output.error(f"skipped {told['file']}: {told['reason']}")
    for told in done.warnings:
        output.error(f"warning {told['file']}: {told['text']}")
    same = {told["text"] for told in done.failed}
    if len(same) == 1 and len(done.failed) > 1:
        output.error(f"failed: {len(done.failed)} files: {same.pop()}")
    else:
        for told in done.failed:
            output.error(f"failed {told['file']}: {told['text']}")
    if not files:
        output.error("there is no DICOM file to send")
    output.console().print(cell(f"{done.stored} of {len(files)} objects stored at {peer}"))
