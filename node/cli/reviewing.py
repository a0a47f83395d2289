"""`pacsnode review`: what waits for a person, and what each answer will do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Annotated, Any

import typer

from node.cli import output, site
from node.cli.output import cell
from node.clock import SystemClock
from node.desk import find
from node.desk import review as desk_review
from node.desk.review import BothSides, ReviewItem
from node.desk.site import open_ledger
from node.desk.words import ago, clock_text, local


def review(
    name: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", help="Only about this study; with both sides of an identity."),
    ] = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option("--limit", help="Questions of a page.")] = desk_review.SHOWN,
    after: Annotated[str | None, typer.Option("--after", help="The next page: what the last one ended with.")] = None,
    as_json: site.AsJson = False,
) -> None:
    """List each question that waits for a person, what each answer will do, and the command that gives it.

    The most urgent come first, then the oldest; alike ones are one question. Patients are named only where a study is
    named whose patient differs at a destination: whoever decides has to compare both.
    """
    configuration = site.known(config)
    ledger, uid = open_ledger(configuration), None
    if name is not None:
        with ledger.reading() as database:
            uid = find.study(database, name).study_instance_uid
    found = desk_review.look(ledger, configuration, limit=limit, after=after, study=uid)
    more = () if config == site.DEFAULT_CONFIG else ("--config", str(config))
    if as_json:
        output.as_json({"items": [_plain(each, more) for each in found.items], "after": found.after})
        return
    console, zone = output.console(), configuration.node.zone
    for each in found.items:
        for line in _lines(each, zone, SystemClock().now(), more):
            console.print(cell(line), soft_wrap=True)
    if not found.items:
        console.print(cell("nothing waits for a person"))
    if found.after is not None:
        console.print(cell(f"there is more: pacsnode review --after {found.after}"), soft_wrap=True)


def _lines(item: ReviewItem, zone: tzinfo, now: datetime, more: Sequence[str]) -> Iterator[str]:
    since = f"since {clock_text(item.since, zone, now)}, {ago(now - item.since)}"
    yield f"{'! ' if item.urgent else '  '}{local(item.question, zone, now)}"
    about = [item.kind.value, since]
    about += [f"study {item.study_instance_uid}"] if item.study_instance_uid else []
    yield f"    {', '.join(about)}; {item.kind.how}"
    if item.both is not None:
        yield from _compared(item.both)
    for answer in item.answers:
        yield f"    {desk_review.shown(answer, more)}"
        yield f"        {answer.effect}"
    yield ""


def _compared(both: BothSides) -> Iterator[str]:
    """Side by side: attribute, here, there."""
    rows = [("", "here", *(both.destination for _ in both.theirs))]
    rows += [
        (keyword, both.ours[keyword], *(answer.get(keyword, "") for answer in both.theirs))
        for keyword in sorted(both.ours.keys() - {"StudyInstanceUID"})
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "    " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _plain(item: ReviewItem, more: Sequence[str]) -> dict[str, Any]:
    answers = [{"command": desk_review.shown(each, more), "effect": each.effect} for each in item.answers]
    both = item.both and {"destination": item.both.destination, "ours": item.both.ours, "theirs": item.both.theirs}
    return {
        "kind": item.kind,
        "urgent": item.urgent,
        "study_instance_uid": item.study_instance_uid,
        "study": item.name,
        "rule": item.rule,
        "destination": item.destination,
        "since": item.since,
        "count": item.count,
        "question": item.question,
        "answers": answers,
        "page": item.kind.page,
        "identity": both,
    }
