"""`pacsnode plugin withdraw` and `plugin reinstate`: a version of a plugin that must not be used any more."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Annotated

import typer

from node.cli import output, site
from node.cli.actions import tell
from node.cli.output import cell, table
from node.clock import SystemClock
from node.desk import recalls
from node.desk.actor import who_types
from node.desk.recalls import RecallReport, RecallRequest
from node.desk.rows import RecalledResult
from node.desk.site import open_ledger
from node.errors import UsageError

Name = Annotated[str, typer.Argument(metavar="NAME", help="The plugin, as the configuration calls it.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="The version, as its plugin.toml states it.")]


def withdraw(
    name: Name,
    version: Version,
    reason: Annotated[str, typer.Option("--reason", help="quality, safety or wrong-patient.")],
    why: Annotated[str, typer.Option("--why", help="More in your own words, for the record and for people.")] = "",
    per_minute: Annotated[
        int | None, typer.Option("--per-minute", min=1, max=6000, help="Rejection notes a minute, at most: 60.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: list what would be, or is, concerned.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print what was delivered as CSV.")] = False,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Withdraw a version of a plugin: stop it, and list what was delivered.

    It runs no more, also after a new configuration; another version may. Its jobs end as not analysed, and so do those
    of studies that come later; what is not delivered is held, and people who were notified of its results are.
    Destinations with `rejection_notes: true` get a rejection note for each study. The same command goes on where it was
    cut short, and so does a running node.
    """
    if as_csv and as_json:
        raise UsageError("--csv or --json, not both")
    configuration = site.known(config)
    asked = RecallRequest(name, version, recalls.reason_of(reason), why, per_minute)
    act = recalls.dry_run if dry_run else recalls.withdraw
    found = act(open_ledger(configuration), configuration, asked, SystemClock().now(), who_types())
    if as_json:
        output.as_json(recalls.plain(found))
    elif as_csv:
        typer.echo(_csv(found.delivered), nl=False)
    else:
        _show(found)


def reinstate(
    name: Name,
    version: Version,
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Take the withdrawal of a version back: it may run again.

    Its results may stay where they are. What was not analysed, cancelled or held stays so until `retry`; what an
    archive has rejected stays rejected.
    """
    ledger = open_ledger(site.known(config))
    tell(recalls.reinstate(ledger, name, version, why, SystemClock().now(), who_types()), as_json)


def _show(found: RecallReport) -> None:
    for line in recalls.lines(found):
        output.console().print(cell(line), soft_wrap=True)
    if not found.delivered:
        return
    columns = ["Accession", "Study", "SOP instance", "Destination", "Finding", "Withdrawal"]
    rows = [
        [
            cell(each.accession_number),
            cell(each.study_instance_uid),
            cell(each.sop_instance_uid),
            cell(each.destination),
            cell(each.finding),
            cell(f"{each.status or '-'}{' (a later step)' if each.rests else ''}"),
        ]
        for each in found.delivered
    ]
    output.console().print()
    output.console().print(table("Delivered", columns, rows))


def _csv(rows: Sequence[RecalledResult]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(RecalledResult)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in asdict(each).items()} for each in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """No spreadsheet takes it for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
