"""`pacsnode echo` and `pacsnode send`: talking to another AE by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.cli import output, site
from node.cli.output import ExitCode, cell, table
from node.clock import SystemClock
from node.config.destinations import Destination, DicomDestination
from node.config.problems import printable
from node.config.services import WebService
from node.desk import peers, services, ways_out
from node.desk.actor import who_types
from node.desk.peers import RESULT_CLASSES, Probe
from node.dicom import report_classes
from node.dicom.part10 import kind_of
from node.dimse import scu, storage_scu
from node.dimse.scu import Peer
from node.dimse.status import status_text
from node.errors import NodeError, PermanentError, UsageError
from node.outcome import AnswerReading

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_STORED = (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING, AnswerReading.ASK)

_SYNTAX_NAMES = {
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
}

DestinationName = Annotated[
    str, typer.Argument(metavar="DEST", help="A destination or box from the configuration, or AET@host:port.")
]


def echo(
    destination: DestinationName,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Also ask which kinds of result it accepts, and about C-FIND and storage commitment.",
        ),
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Check that a destination or a box answers, or a web service (HEAD). Exit code 1: it does not.

    DIMSE: C-ECHO. DICOMweb: a question for a study that nobody has. A folder: whether a file can be written there.
    """
    service = None if peers.written(destination) else services.find(destination, config)
    if service is not None:
        _echo_service(destination, service, as_json=as_json, probe=probe)
        return
    way_out = None if peers.written(destination) else ways_out.find(destination, config)
    if way_out is not None:
        _echo_way_out(destination, way_out, config, as_json=as_json, probe=probe)
        return
    peer, known = _named(destination, config)
    scu.echo(peer)
    found = peers.probe(peer) if probe else None
    asked = found is not None and found.refusal is None
    peers.answered(destination, config, SystemClock().now(), who_types(), questions=asked)
    if as_json:
        answers: dict[str, Any] = {"destination": destination, "peer": str(peer), "answers": True}
        probed = {"accepts": found.accepted, "answers_c_find": found.refusal is None} if found else {}
        commits = {"accepts_storage_commitment": found.commits} if found else {}
        output.as_json({**answers, **probed, **commits})
    else:
        console = output.console()
        console.print(cell(f"{peer} answers"))
        if found is not None:
            _print_probe(console, found, known)
    if found is not None and (found.refusal is not None or _lacks_commitment(found, known)):
        raise typer.Exit(ExitCode.FAILED)


def _echo_service(name: str, service: WebService, *, as_json: bool, probe: bool) -> None:
    if probe:
        raise UsageError(f"{name} is a web service: --probe is for destinations")
    services.ask(name, service)
    if as_json:
        output.as_json({"service": name, "host": service.host, "answers": True})
    else:
        output.console().print(cell(f"{name} ({service.place}) answers"))


def _echo_way_out(name: str, destination: Destination, config: Path, *, as_json: bool, probe: bool) -> None:
    if probe:
        raise UsageError(f"{name} is of kind {destination.kind}: --probe is for destinations that speak DIMSE")
    did = ways_out.try_out(destination)
    peers.answered(name, config, SystemClock().now(), who_types(), questions=bool(destination.asks_by))
    if as_json:
        output.as_json({"destination": name, "kind": destination.kind, "place": destination.place, "answers": True})
    else:
        output.console().print(cell(f"{name} ({destination.place}) {did}"))


def _named(name: str, config: Path) -> tuple[Peer, Destination | None]:
    """Who is meant, and the destination where the configuration has it."""
    found = peers.named(name, config)
    if found.warning is not None:
        output.error(found.warning)
    return found.peer, found.destination


def _print_probe(console: Console, found: Probe, known: Destination | None) -> None:
    rows = []
    for name, uid in RESULT_CLASSES.items():
        syntaxes = ", ".join(_SYNTAX_NAMES.get(syntax, syntax) for syntax in found.accepted[uid])
        rows.append((cell(name), cell(syntaxes or "refused", "" if syntaxes else "yellow")))
    console.print(
        table("What it accepts (to accept is to store, not always to show)", ["Result", "Transfer syntaxes"], rows)
    )
    if known is not None and not found.accepted[report_classes.SOP_CLASSES[known.encoding.sr_class]]:
        sr_class = known.encoding.sr_class
        refused = report_classes.NAMES[sr_class]
        console.print(cell(f"! sr_class: {sr_class} is configured, and it refuses {refused}", "bold red"))
    told = "It answers C-FIND, which the identity check needs"
    console.print(cell(told) if found.refusal is None else cell(f"! {found.refusal}", "bold red"))
    told = f"It {'accepts' if found.commits else 'does not accept'} requests for storage commitment"
    lacking = _lacks_commitment(found, known)
    console.print(cell(f"! {told}, and commitment: require is configured", "bold red") if lacking else cell(told))


def _lacks_commitment(found: Probe, known: Destination | None) -> bool:
    """Whether the configuration requires a storage commitment that the peer does not give."""
    return isinstance(known, DicomDestination) and known.commitment == "require" and not found.commits


@dataclass
class _SendReport:
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
    peer, _ = _named(destination, config)
    if calling is not None:
        peer = replace(peer, calling_ae_title=peers.ae_title(calling))
    done = _SendReport()
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
        raise typer.Exit(ExitCode.FAILED)


def _files(paths: Sequence[Path], done: _SendReport) -> list[Path]:
    """The files to be sent, each once; the others are noted with the reason."""
    found: dict[Path, Path] = {}
    for path in paths:
        for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    sendable = []
    for file in found.values():
        try:
            sop_class, _ = kind_of(file)
        except PermanentError as error:
            done.skipped.append({"file": str(file), "reason": str(error).removeprefix(f"{file}: ")})
            continue
        if sop_class == _MEDIA_DIRECTORY:
            done.skipped.append({"file": str(file), "reason": "a DICOMDIR, which is an index and not an object"})
        else:
            sendable.append(file)
    return sendable


def _send(peer: Peer, files: Sequence[Path], done: _SendReport, quiet: bool) -> None:
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
                    if outcome.reading is not AnswerReading.STORED:
                        done.warnings.append(told)
                progress.advance(task)
        except NodeError as error:
            done.failed += [{"file": str(file), "status": None, "text": f"not sent: {error}"} for file in left]


def _print_sent(peer: Peer, files: Sequence[Path], done: _SendReport) -> None:
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
