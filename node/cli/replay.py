"""`pacsnode replay`: what draft rules would have done with the studies of the last days."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from node.cli import output, site
from node.cli.output import cell, table
from node.clock import SystemClock
from node.config.values import parse_duration
from node.desk import replay as desk_replay
from node.desk.overview import SHOWN
from node.desk.replay import DraftChange, PluginLoad, ReplayResult, StudyDifference
from node.desk.words import clock_text, tail
from node.errors import UsageError

_STYLES = {DraftChange.NEW: "green", DraftChange.GONE: "red", DraftChange.DIFFERENT: "yellow"}


def replay(
    rules: Annotated[
        Path, typer.Option("--rules", metavar="PATH", help="The draft: a file of rules or a whole configuration.")
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="PERIOD", help="How far back, as in 12h or 7d.", show_default=True)
    ] = "7d",
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Try draft rules on the studies of the last days: which would match, no longer match or match differently.

    Nothing runs and nothing changes. The images may be gone: the facts that rules see are kept. Plugin hours are
    estimated from the jobs of each plugin so far.
    """
    configuration = site.known(config)
    now = SystemClock().now()
    plan = desk_replay.plan(config, configuration, rules, _period(since), now)
    with _progress(hidden=as_json) as progress:
        task = progress.add_task("studies", total=len(plan.studies))
        result = desk_replay.run(plan, lambda count: progress.advance(task, count))
    if as_json:
        output.as_json(desk_replay.for_scripts(result))
    else:
        about = clock_text(result.since, configuration.node.zone, now)
        output.console().print(Group(*_parts(result, about, rules)))


def _period(since: str) -> timedelta:
    try:
        return parse_duration(since)
    except ValueError as error:
        raise UsageError(f"--since: {error}") from error


def _progress(*, hidden: bool) -> Progress:
    """A bar for who watches at a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=hidden or not sys.stderr.isatty(),
        transient=True,
    )


def _parts(result: ReplayResult, since: str, draft: Path) -> Iterator[RenderableType]:
    done = result.done
    yield cell(f"{done.studies} studies that were complete since {since}")
    yield cell(f"now: version {result.digests[0][:8]}; draft: {draft}, version {result.digests[1][:8]}")
    yield Text()
    rows = []
    for name in result.names:
        changes = done.changes(name)
        counted = [cell(changes[change] or "", _STYLES[change] if changes[change] else "") for change in DraftChange]
        rows.append((cell(name), cell(done.now.matched[name]), cell(done.draft.matched[name]), *counted))
    yield table("Studies that a rule matches", ["Rule", ">Now", ">Draft", ">New", ">Gone", ">Different"], rows)
    yield from _stopped(result)
    if result.plugins:
        columns = ["Plugin", ">Runs now", ">Draft", ">Seconds each", ">Hours a day now", ">Draft"]
        yield Text()
        yield table("Plugin hours", columns, [_load(each) for each in result.plugins])
        yield from _hanging(result.plugins)
    yield from _outside(result)
    yield Text()
    if not done.differences:
        yield cell("The draft changes nothing for these studies.")
        return
    shown = [row for each in done.differences[:SHOWN] for row in _difference(each)]
    yield table("What would be other", ["=Study", "Rule", "=Change", "What"], shown)
    if len(done.differences) > SHOWN:
        yield cell(f"… and {len(done.differences) - SHOWN} more (--json)")


def _stopped(result: ReplayResult) -> Iterator[RenderableType]:
    """What `limits` and `once` keep a rule from."""
    sides = (result.done.now.stopped, result.done.draft.stopped)
    rows = [(cell(name), *(cell(side[name]) for side in sides)) for name in result.names if any(s[name] for s in sides)]
    if rows:
        yield Text()
        yield table("Matches that limits or once stop", ["Rule", ">Now", ">Draft"], rows)


def _outside(result: ReplayResult) -> Iterator[RenderableType]:
    """Runs on images that are not known to be like those that a plugin was validated on."""
    rows = [
        (cell(key.plugin), cell(key.limit), cell(key.scanner or "(not stated)"), cell(now), cell(draft))
        for key, now, draft in desk_replay.outside(result.done)
    ]
    if rows:
        yield Text()
        columns = ["Plugin", "Outside by", "Scanner", ">Runs now", ">Draft"]
        yield table("Runs outside of what plugins were validated on", columns, rows)
    for each in result.plugins:
        if each.refused_now or each.refused_draft:
            counts = f"now {each.refused_now} of {each.runs_now}, draft {each.refused_draft} of {each.runs_draft}"
            yield cell(f"{each.plugin}: {counts} end as not applicable by that")


def _hanging(loads: Sequence[PluginLoad]) -> Iterator[RenderableType]:
    """Runs that nobody can count."""
    for each in loads:
        if each.open_now or each.open_draft:
            counts = f"now up to {each.open_now} more, draft up to {each.open_draft} more"
            yield cell(f"{each.plugin}: {counts}, by results that nobody knows yet")


def _load(each: PluginLoad) -> Sequence[Text]:
    def hours(value: float | None) -> Text:
        return cell("?" if value is None else f"{value:.2f}")

    mean = "never ran" if each.mean_seconds is None else f"{each.mean_seconds:.1f}"
    counted = (cell(each.runs_now), cell(each.runs_draft), cell(mean))
    return (cell(each.plugin), *counted, hours(each.hours_a_day_now), hours(each.hours_a_day_draft))


def _difference(each: StudyDifference) -> Iterator[Sequence[Text]]:
    name = each.accession_number or tail(each.study_instance_uid)
    first = each.draft if each.change is DraftChange.NEW else f"now: {each.now}"
    yield cell(name), cell(each.rule), cell(each.change, _STYLES[each.change]), cell(first)
    if each.change is not DraftChange.NEW:
        yield cell(""), cell(""), cell(""), cell(f"draft: {each.draft}")
