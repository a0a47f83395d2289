"""`pacsnode init`: five questions, with the PACS tried while it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from node.cli import output, site
from node.cli.output import cell
from node.desk import peers
from node.desk.doctor import network_checks
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.desk.first_steps import writing
from node.desk.first_steps.writing import FirstAnswers, FirstSender
from node.dimse.scu import Peer
from node.errors import UsageError

_Answer = TypeVar("_Answer")
_TITLE, _PORT = "PACSNODE", "11112"


def init(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    ae_title: Annotated[str | None, typer.Option("--ae-title", help="The AE title of this node.")] = None,
    port: Annotated[str | None, typer.Option("--port", help="The port that it listens on.")] = None,
    senders: Annotated[
        list[str] | None,
        typer.Option("--sender", metavar="AET[@ADDRESS]", help="Who sends beside the PACS. Can be repeated."),
    ] = None,
    pacs: Annotated[
        str | None, typer.Option("--pacs", metavar="AET@HOST:PORT", help="The PACS that gets the results.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option("--time-zone", help="An IANA name. Default: the machine's own.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: options and defaults are the answers.")
    ] = False,
) -> None:
    """Write a first configuration: who the node is, who sends, where the PACS is.

    What no option says is asked. The PACS is tried (C-ECHO, C-FIND) while you sit there. The last lines say what to
    enter in the PACS. A file that is there is never written over.
    """
    if config.exists():
        raise UsageError(writing.already_there(config))
    asks = not yes and sys.stdin.isatty()
    title = _answer("AE title of this node", ae_title, _TITLE, peers.ae_title, asks)
    listens = _answer("Port that it listens on", port, _PORT, writing.port, asks)
    sending = [writing.sender(each) for each in senders] if senders else _ask_senders(asks)
    archive = _pacs(pacs, title, listens, asks)
    zone = _answer("Time zone", time_zone, writing.zone_of_machine(), writing.time_zone, asks)
    answers = FirstAnswers(
        title, listens, [each for each in sending if each.ae_title != archive.ae_title], archive, zone
    )
    writing.write(config, answers)
    _say_what_is_next(config, answers)


def _answer(
    question: str, option: str | None, default: str | None, read: Callable[[str], _Answer], asks: bool
) -> _Answer:
    """The option, or what a person says until it can be read, or the default; UsageError."""
    if option is not None or not asks:
        said = option if option is not None else default
        if said is None:
            raise UsageError(f"{question}: say it with an option, there is nobody to ask (pacsnode init --help)")
        return read(said)
    while True:
        try:
            return read(typer.prompt(question, default=default))
        except UsageError as error:
            output.error(str(error))


def _ask_senders(asks: bool) -> list[FirstSender]:
    if not asks:
        return []
    question = "Who sends beside the PACS (AE titles, as in CT1@10.1.2.3 CT2; empty: nobody)"
    return _answer(
        question, None, "", lambda said: [writing.sender(each) for each in said.replace(",", " ").split()], asks
    )


def _pacs(option: str | None, title: str, port: int, asks: bool) -> Peer:
    """The PACS, tried; a person may name another one, or go on with one that does not answer yet."""
    while True:
        found = _answer("PACS (AET@HOST:PORT)", option, None, lambda said: writing.pacs(said, title), asks)
        tried = network_checks.first_contact(found, port)
        _say(tried)
        if (
            tried.diagnosis is Diagnosis.GOOD
            or not asks
            or option is not None
            or typer.confirm("Go on with it?", default=True)
        ):
            return found


def _say(finding: DoctorFinding) -> None:
    console = output.console()
    console.print(cell(f"{'✓' if finding.diagnosis is Diagnosis.GOOD else '!'} {finding.said}"))
    if finding.next_step:
        console.print(cell(f"  → {finding.next_step}"))


def _say_what_is_next(config: Path, answers: FirstAnswers) -> None:
    console = output.console()
    console.print(cell(f"{config} is written. No rule in it is on yet."))
    console.print()
    console.print(cell(f"In {answers.pacs.ae_title}", "bold"))
    for number, step in enumerate(writing.in_the_pacs(answers), 1):
        console.print(cell(f"{number}. {step}"))
    console.print()
    console.print(cell("Here", "bold"))
    named = "" if config == site.DEFAULT_CONFIG else f" --config {config}"
    console.print(cell(f"pacsnode check{named}    pacsnode doctor{named}    pacsnode serve{named}"))
