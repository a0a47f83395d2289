"""`pacsnode retry`, `release`, `complete`, `cancel`, `done` and `adopt`: what a person decides, of one or of many."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import choosing, output, site
from node.cli.output import cell
from node.clock import SystemClock
from node.desk import actions, answers
from node.desk.actions import ActionOutcome
from node.desk.actor import who_types
from node.desk.bulk import BulkAction, Selection
from node.desk.site import open_ledger
from node.errors import UsageError

_HELP = (
    "A job (its id or a unique beginning of it), a delivery (its number) or a notification (notification:NUMBER). "
    "`status` and `study` show them"
)
JobOrDelivery = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help=f"{_HELP}. The UID of a study: its waiting images are not forwarded. withdrawal:STUDY: what is listed for "
        "withdrawal may stay. conflict:STUDY and unreadable:STUDY: what was set aside stays so.",
    ),
]
JobDeliveryOrStudy = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help=f"{_HELP}. Also commitment:NUMBER (a storage commitment) and defect:NUMBER (an item that an "
        "unexpected error stopped). The UID of a study: one that is held, or has held or dead images.",
    ),
]


TakeNewest = Annotated[
    bool,
    typer.Option(
        "--take-newest",
        help="For a study that is held because it was sent again under another patient or order: use the newer images.",
    ),
]


def retry(
    what: JobDeliveryOrStudy = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    take_newest: TakeNewest = False,
    status: choosing.Status = None,
    rule: choosing.Rule = None,
    plugin: choosing.Plugin = None,
    destination: choosing.Destination = None,
    study: choosing.StudyName = None,
    since: choosing.Since = None,
    until: choosing.Until = None,
    dry_run: choosing.DryRun = False,
    yes: choosing.Yes = False,
    as_json: site.AsJson = False,
) -> None:
    """Run a job again, send a delivery now, or release a held study. The record says who asked for it.

    An ended job runs again as a new job that names the old one. Its result is a new result.
    A delivery is sent now, under the same UIDs; where the destination has an identity check, after a new one.
    A held study is released, as by `release`.
    A storage commitment is decided again, by what is stored now, and reported.
    What an unexpected error stopped is tried again. A running node notices by itself.
    Without an ID: all that --status, --rule, --plugin, --destination, --study, --since and --until leave.
    """
    chosen = choosing.selection(status, rule, plugin, destination, study, since, until)
    if _is_one(what, chosen[0], dry_run, since, until):
        ledger = open_ledger(site.known(config))
        tell(actions.retry(ledger, what or "", SystemClock().now(), who_types(), take_newest=take_newest), as_json)
        return
    if take_newest:
        raise UsageError("--take-newest is for one held study: name its UID")
    tell(choosing.act(site.known(config), BulkAction.RETRY, chosen, dry_run=dry_run, yes=yes, as_json=as_json), as_json)


def release(
    name: Annotated[str | None, typer.Argument(metavar="STUDY", help="A held study, named as for `study`.")] = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    take_newest: TakeNewest = False,
    rule: choosing.Rule = None,
    plugin: choosing.Plugin = None,
    destination: choosing.Destination = None,
    since: choosing.Since = None,
    until: choosing.Until = None,
    dry_run: choosing.DryRun = False,
    yes: choosing.Yes = False,
    as_json: site.AsJson = False,
) -> None:
    """Let a held study go on, as it was first received. The record says who asked for it.

    With --take-newest it goes on as it was sent again: the corrected instances count, and the rules decide again.
    Without a study: all held studies that the options leave, but for those that were sent again under another patient
    or order. Each of these is a decision of its own.
    """
    chosen = choosing.selection(None, rule, plugin, destination, None, since, until)
    if _is_one(name, chosen[0], dry_run, since, until):
        ledger = open_ledger(site.known(config))
        tell(actions.release(ledger, name or "", SystemClock().now(), who_types(), take_newest=take_newest), as_json)
        return
    if take_newest:
        raise UsageError("--take-newest is for one held study: name it")
    outcome = choosing.act(site.known(config), BulkAction.RELEASE, chosen, dry_run=dry_run, yes=yes, as_json=as_json)
    tell(outcome, as_json)


def complete(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="The UID, a unique beginning or end of it, or the accession number.")
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Of a complete study: end the wait of this rule alone.")
    ] = None,
    as_json: site.AsJson = False,
) -> None:
    """Complete a study that is still being received, with the images it has now. The record says who asked for it.

    Neither the quiet period nor an open association is waited for. What comes later makes a new revision. Where the
    study is complete and rules wait for more of it, their waits end: they decide now, as at their deadlines. A running
    node notices by itself.
    """
    ledger = open_ledger(site.known(config))
    tell(actions.complete(ledger, name, SystemClock().now(), who_types(), rule), as_json)


def cancel(
    what: JobOrDelivery = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    status: choosing.Status = None,
    rule: choosing.Rule = None,
    plugin: choosing.Plugin = None,
    destination: choosing.Destination = None,
    study: choosing.StudyName = None,
    since: choosing.Since = None,
    until: choosing.Until = None,
    dry_run: choosing.DryRun = False,
    yes: choosing.Yes = False,
    as_json: site.AsJson = False,
) -> None:
    """Stop a job that has no report yet, or a delivery that was not sent yet. The record says who asked for it.

    Without an ID: all that --status, --rule, --plugin, --destination, --study, --since and --until leave.
    """
    chosen = choosing.selection(status, rule, plugin, destination, study, since, until)
    if _is_one(what, chosen[0], dry_run, since, until):
        ledger = open_ledger(site.known(config))
        tell(actions.cancel(ledger, what or "", SystemClock().now(), who_types()), as_json)
        return
    outcome = choosing.act(site.known(config), BulkAction.CANCEL, chosen, dry_run=dry_run, yes=yes, as_json=as_json)
    tell(outcome, as_json)


def done(
    what: Annotated[
        str,
        typer.Argument(metavar="withdrawal:STUDY", help="What is listed for withdrawal of this study."),
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Say that what is listed for withdrawal was taken out at its destinations. The record says who did it."""
    ledger = open_ledger(site.known(config))
    tell(answers.done(ledger, what, SystemClock().now(), who_types()), as_json)


def adopt(
    name: Annotated[str, typer.Argument(metavar="STUDY", help="Named as for `study`.")],
    destination: Annotated[str, typer.Argument(metavar="DEST", help="The destination, by its name.")],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Re-encode a study's results under the patient and order that a destination has. The record says who decided it.

    For results that are held because patient or order differ: `review STUDY` shows both sides. The objects are new
    ones. What the destination has already is listed for withdrawal.
    """
    ledger = open_ledger(site.known(config))
    tell(answers.adopt(ledger, name, destination, SystemClock().now(), who_types()), as_json)


def _is_one(what: str | None, chosen: Selection, dry_run: bool, *times: str | None) -> bool:
    """Whether one is named, and none of the options that choose; UsageError where both are, or dry run of one."""
    many = not chosen.is_empty or any(times)
    if what is not None and many:
        raise UsageError("name one, or say by options which are meant: not both")
    if what is not None and dry_run:
        raise UsageError("--dry-run is for many: `study` shows what a single one is")
    return what is not None


def tell(outcome: ActionOutcome, as_json: bool) -> None:
    """What was done, for people or for scripts."""
    if as_json:
        output.as_json(outcome.value)
    else:
        for line in outcome.sentence.splitlines():
            output.console().print(cell(line), soft_wrap=True)
