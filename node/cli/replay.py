"""`pacsnode replay`: what draft rules would have done with the studies of the last days."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from node.cli import output, site
from node.cli.output import cell, clock_text, table, tail
from node.cli.overview import SHOWN
from node.clock import SystemClock
from node.config import loading
from node.config.values import parse_duration
from node.errors import UsageError
from node.ledger import jobs, studies
from node.ledger.database import FILE
from node.route import replay as replaying
from node.route.replay import Change, Comparison, Replayed
from rules.model import rule_set_digest

_STYLES = {Change.NEW: "green", Change.GONE: "red", Change.DIFFERENT: "yellow"}


def replay(
    rules: Annotated[
        Path, typer.Option("--rules", metavar="PATH", help="The draft: a file of rules, or a configuration.")
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="PERIOD", help="How far back: 12h, 7d.", show_default=True)
    ] = "7d",
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Hold draft rules against the studies of the last days: which would match, no longer match, match differently.

    Nothing is run and nothing is changed. The images need not be there any more: what rules see of a study is kept.
    Plugin hours are counted by how long each plugin's jobs have taken so far.
    """
    configuration = site.known(config)
    if not rules.is_file():
        raise UsageError(f"{rules}: there is no such file")
    period = _period(since)
    draft = loading.read_draft(config, rules)
    ledger = site.open_ledger(configuration)
    now = SystemClock().now()
    with ledger.snapshot() as database:
        uids = studies.completed_since(database, now - period)
        seconds = jobs.mean_seconds(database)
    comparison = Comparison(configuration.rules, draft)
    with _progress(hidden=as_json) as progress:
        task = progress.add_task("studies", total=len(uids))
        done = replaying.replay(
            configuration.node.data / FILE, uids, now - period, comparison, configuration.node.zone,
            lambda count: progress.advance(task, count),
        )  # fmt: skip
    digests = (rule_set_digest(configuration.rules), rule_set_digest(draft))
    result = _Result(done, comparison.names, now - period, period, digests, _loads(done, seconds, period))
    if as_json:
        output.as_json(_plain(result))
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
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=hidden or not sys.stderr.isatty(), transient=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Load:
    """How much a plugin is used."""

    plugin: str
    runs_now: int
    runs_draft: int
    open_now: int
    """Runs that hang on a result which nobody knows."""
    open_draft: int
    mean_seconds: float | None
    """Of its past jobs; None where there are none."""
    hours_a_day_now: float | None
    hours_a_day_draft: float | None


@dataclass(frozen=True, slots=True)
class _Result:
    """All that is shown."""

    done: Replayed
    names: Sequence[str]
    since: datetime
    period: timedelta
    digests: tuple[str, str]
    loads: Sequence[_Load]


def _loads(done: Replayed, seconds: Mapping[str, float], period: timedelta) -> list[_Load]:
    days = period / timedelta(days=1)
    now, draft = done.now, done.draft
    made = []
    for plugin in sorted({name for side in (now, draft) for name in (*side.runs, *side.open)}):
        mean = next((each for name, each in seconds.items() if name.replace("_", "-") == plugin), None)
        a_day = None if mean is None else mean / 3600 / days
        made.append(
            _Load(
                plugin, now.runs[plugin], draft.runs[plugin], now.open[plugin], draft.open[plugin], mean,
                None if a_day is None else now.runs[plugin] * a_day,
                None if a_day is None else draft.runs[plugin] * a_day,
            )
        )  # fmt: skip
    return made


def _plain(result: _Result) -> dict[str, Any]:
    done = result.done
    return {
        "since": result.since,
        "days": result.period / timedelta(days=1),
        "studies": done.studies,
        "rule_set": result.digests[0],
        "draft_rule_set": result.digests[1],
        "rules": [
            {
                "rule": name,
                "now": done.now.matched[name],
                "draft": done.draft.matched[name],
                **{change.value: done.changes(name)[change] for change in Change},
                "stopped_now": done.now.stopped[name],
                "stopped_draft": done.draft.stopped[name],
            }
            for name in result.names
        ],
        "plugins": [asdict(each) for each in result.loads],
        "differences": [asdict(each) for each in done.differences],
    }


# --- for people ----------------------------------------------------------------------------------


def _parts(result: _Result, since: str, draft: Path) -> Iterator[RenderableType]:
    done = result.done
    yield cell(f"{done.studies} studies that were complete since {since}")
    yield cell(f"now: version {result.digests[0][:8]}; draft: {draft}, version {result.digests[1][:8]}")
    yield Text()
    rows = []
    for name in result.names:
        changes = done.changes(name)
        counted = [cell(changes[change] or "", _STYLES[change] if changes[change] else "") for change in Change]
        rows.append((cell(name), cell(done.now.matched[name]), cell(done.draft.matched[name]), *counted))
    yield table("Studies that a rule matches", ["Rule", ">Now", ">Draft", ">New", ">Gone", ">Different"], rows)
    yield from _stopped(result)
    if result.loads:
        columns = ["Plugin", ">Runs now", ">Draft", ">Seconds each", ">Hours a day now", ">Draft"]
        yield Text()
        yield table("Plugin hours", columns, [_load(each) for each in result.loads])
        yield from _hanging(result.loads)
    yield Text()
    if not done.differences:
        yield cell("The draft changes nothing for these studies.")
        return
    shown = [row for each in done.differences[:SHOWN] for row in _difference(each)]
    yield table("What would be other", ["=Study", "Rule", "=Change", "What"], shown)
    if len(done.differences) > SHOWN:
        yield cell(f"… and {len(done.differences) - SHOWN} more (--json)")


def _stopped(result: _Result) -> Iterator[RenderableType]:
    """What `limits` and `once` keep a rule from."""
    sides = (result.done.now.stopped, result.done.draft.stopped)
    rows = [(cell(name), *(cell(side[name]) for side in sides)) for name in result.names if any(s[name] for s in sides)]
    if rows:
        yield Text()
        yield table("Matches that limits or once stop", ["Rule", ">Now", ">Draft"], rows)


def _hanging(loads: Sequence[_Load]) -> Iterator[RenderableType]:
    """Runs that nobody can count."""
    for each in loads:
        if each.open_now or each.open_draft:
            counts = f"now up to {each.open_now} more, draft up to {each.open_draft} more"
            yield cell(f"{each.plugin}: {counts}, by results that nobody knows yet")


def _load(each: _Load) -> Sequence[Text]:
    def hours(value: float | None) -> Text:
        return cell("?" if value is None else f"{value:.2f}")

    mean = "never ran" if each.mean_seconds is None else f"{each.mean_seconds:.1f}"
    counted = (cell(each.runs_now), cell(each.runs_draft), cell(mean))
    return (cell(each.plugin), *counted, hours(each.hours_a_day_now), hours(each.hours_a_day_draft))


def _difference(each: replaying.Difference) -> Iterator[Sequence[Text]]:
    name = each.accession_number or tail(each.study_instance_uid)
    first = each.draft if each.change is Change.NEW else f"now: {each.now}"
    yield cell(name), cell(each.rule), cell(each.change, _STYLES[each.change]), cell(first)
    if each.change is not Change.NEW:
        yield cell(""), cell(""), cell(""), cell(f"draft: {each.draft}")
