"""`pacsnode explain`: why each rule matches a study or does not, clause by clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from node.cli import files, output, plain, site
from node.cli.output import Exit, cell, clock_text, table
from node.clock import SystemClock
from node.config.models import Configuration
from node.config.problems import closest
from node.errors import NotFoundError, UsageError
from node.ledger import decisions
from node.ledger.decisions import Decision as Recorded
from node.ledger.decisions import DecisionOutcome
from node.ledger.studies import Study
from node.route.recorded import recorded_facts
from rules import engine, examples, given
from rules import explain as explaining
from rules.decision import Decision
from rules.facts import StudyFacts
from rules.model import Rule, rule_set_digest
from rules.reading import shown

_STYLES = {"+": "green", "-": "red", "?": "yellow", ">": "bold green"}


def explain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY|PATH",
            help="A study (UID, a unique beginning or end of it, accession number), or DICOM files and folders.",
        ),
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    rule: Annotated[str | None, typer.Option("--rule", help="Only this rule.")] = None,
    as_test: Annotated[
        bool, typer.Option("--as-test", help="Write a test for the rules instead: this study, what they do now.")
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show for each rule whether it matches, and for each clause the value found, where, and why it passed or failed.

    A study is looked up in the ledger and held against the rules that the configuration holds now, as of the moment
    when it was complete; what was decided then, and why, is shown where it differs. Files are read as they would be
    on arrival. Exit code 1 where there is no such study or no DICOM file.
    """
    configuration = site.known(config)
    rules = _chosen(configuration, rule)
    paths = [Path(each) for each in what]
    if any(path.exists() for path in paths):
        studies, skipped = _in_files(paths, configuration, rules)
    else:
        studies, skipped = [_in_ledger(what, configuration, rules)], []
    if as_json:
        output.as_json(_plain(studies, skipped, configuration))
    elif as_test:
        for each in studies:
            typer.echo(_test(each, rules), nl=False)
    else:
        _show(studies, skipped, configuration)
    if not studies:
        output.error("there is no DICOM file to explain")
        raise typer.Exit(Exit.FAILED)


def _show(studies: Sequence[_Explained], skipped: Sequence[tuple[Path, str]], configuration: Configuration) -> None:
    for path, reason in skipped:
        output.error(f"skipped {path}: {reason}")
    for each in studies:
        output.console().print(Group(*_parts(each, configuration)))


@dataclass(frozen=True)
class _Explained:
    """One study, and what each rule says of it."""

    facts: StudyFacts
    decisions: Sequence[Decision]
    row: Study | None = None
    recorded: Sequence[Recorded] = field(default_factory=tuple)
    """What was decided on its newest decided revision."""


def _chosen(configuration: Configuration, name: str | None) -> tuple[Rule, ...]:
    """The rules to be explained; a disabled one only where it is named."""
    if name is None:
        return configuration.rules
    known = {rule.name: rule for rule in configuration.rules}
    if name not in known:
        meant = closest(name, known)
        hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known) or 'none'}"
        raise UsageError(f'there is no rule "{name}"; {hint}')
    return (known[name].model_copy(update={"enabled": True}),)


def _in_files(
    paths: Sequence[Path], configuration: Configuration, rules: Sequence[Rule]
) -> tuple[list[_Explained], list[tuple[Path, str]]]:
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError("\n".join(f"{path}: there is no such file or folder" for path in missing))
    found = files.studies_in(paths, SystemClock().now(), configuration.node.zone)
    return [_Explained(facts, engine.decide(rules, facts)) for facts in found.studies], found.skipped


def _in_ledger(what: Sequence[str], configuration: Configuration, rules: Sequence[Rule]) -> _Explained:
    if len(what) > 1:
        raise UsageError(f"one study at a time; of {', '.join(what)} none is a file or folder")
    try:
        ledger = site.open_ledger(configuration)
        with ledger.snapshot() as database:
            row = site.find_study(database, what[0])
            facts = recorded_facts(database, row, configuration.node.zone)
            names = {rule.name for rule in rules}
            taken = [each for each in decisions.of_study(database, row.study_instance_uid) if each.rule in names]
    except NotFoundError as error:
        raise NotFoundError(f'{error}; and there is no file or folder "{what[0]}"') from error
    newest = max((each.revision for each in taken), default=0)
    recorded = tuple({each.rule: each for each in taken if each.revision == newest}.values())  # of looks the last
    return _Explained(facts, engine.decide(rules, facts), row, recorded)


# --- for scripts ---------------------------------------------------------------------------------


def _plain(
    studies: Sequence[_Explained], skipped: Sequence[tuple[Path, str]], configuration: Configuration
) -> dict[str, Any]:
    return {
        "rule_set": rule_set_digest(configuration.rules),
        "studies": [
            {
                "study_instance_uid": each.facts.study_instance_uid,
                "accession_number": each.row.accession_number if each.row else None,
                "revision": each.facts.revision,
                "complete": each.facts.complete,
                "as_of": each.facts.now,
                "rules": [decision.trace for decision in each.decisions],
                "decided": [plain.decision(one, explain=True) for one in each.recorded],
            }
            for each in studies
        ],
        "skipped": [{"file": str(path), "reason": reason} for path, reason in skipped],
    }


# --- as a test -----------------------------------------------------------------------------------


def _test(explained: _Explained, rules: Sequence[Rule]) -> str:
    """YAML for `tests:`; of the study only what the rules look at."""
    study = given.write(explained.facts, examples.asked_for(rules))
    accession = explained.row.accession_number if explained.row else ""
    lines = ["tests:", f"  - name: {shown(f'study {accession or output.tail(explained.facts.study_instance_uid)}')}"]
    lines.append("    given:")
    lines += [f"      {key}: {shown(value)}" for key, value in study.items() if key != "series"]
    lines += ["      series:", *(f"        - {shown(each)}" for each in study["series"]), "    expect:"]
    for decision in explained.decisions:
        lines.append(f"      {decision.rule.name}: {'match' if decision.matched else 'no match'}")
    return "\n".join(lines) + "\n"


# --- for people ----------------------------------------------------------------------------------


def _parts(explained: _Explained, configuration: Configuration) -> Iterator[RenderableType]:
    facts, row = explained.facts, explained.row
    images = sum(len(series.instances) for series in facts.series)
    yield cell(f"Study {facts.study_instance_uid}", "bold")
    about = f"{len(facts.series)} series, {images} instances"
    if row is not None:
        state = f"revision {facts.revision}" if facts.complete else "not complete yet: nothing is decided"
        about = f"accession {row.accession_number or '(none)'}; {row.status}, {state}; {about}"
    yield cell(about)
    if not explained.decisions:
        yield cell("There is no enabled rule.")
        return
    yield Text()
    yield _verdicts(explained.decisions, rule_set_digest(configuration.rules))
    for decision in explained.decisions:
        yield Text()
        yield from traced(explaining.lines(decision.trace))
    yield from _as_decided(explained, configuration)
    yield Text()


def _verdicts(taken: Sequence[Decision], digest: str) -> RenderableType:
    rows = []
    for each in taken:
        near = f"; near miss, all but: {each.near_miss}" if each.near_miss else ""
        style = "green" if each.matched else "yellow" if each.near_miss or each.problems else ""
        rows.append(
            (cell(each.rule.name), cell("matched" if each.matched else "not matched", style), cell(each.why + near))
        )
    return table(f"By the rules of the configuration (version {digest[:8]})", ["Rule", "=Verdict", "Why"], rows)


def traced(lines: Sequence[str]) -> Iterator[RenderableType]:
    """The lines of an explanation, each wrapped under its own beginning."""
    for line in lines:
        text = line.lstrip(" ")
        style = _STYLES.get(text[:1], "") if text[1:2] == " " else "bold yellow" if text.startswith("near miss") else ""
        yield Padding(cell(text, style), (0, 0, 0, len(line) - len(text)), expand=False)


def _as_decided(explained: _Explained, configuration: Configuration) -> Iterator[RenderableType]:
    """What was decided when it counted, in full where it is not what the rules say now."""
    if not explained.recorded:
        return
    digest, now = rule_set_digest(configuration.rules), {each.rule.name: each for each in explained.decisions}
    first = explained.recorded[0]
    when = clock_text(first.decided_at, configuration.node.zone, SystemClock().now())
    differing = [each for each in explained.recorded if _differs(each, now.get(each.rule))]
    version = first.rule_set[:8]
    by = "these rules" if first.rule_set == digest else f"other rules (version {version}: pacsnode rules {version})"
    same = "" if differing else ", with the same outcome"
    yield Text()
    yield cell(f"Decided {when} on revision {first.revision} by {by}{same}.")
    for each in differing:
        yield Text()
        yield cell(f"Then, {each.rule} {each.outcome.replace('_', ' ')}:", "bold yellow")
        if "when" in each.trace:
            yield from traced(explaining.lines(each.trace))


def _differs(recorded: Recorded, now: Decision | None) -> bool:
    return now is None or (recorded.outcome is not DecisionOutcome.NOT_MATCHED) is not now.matched
