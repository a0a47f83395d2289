"""A draft of one file of the configuration: checked as the node would check it, and tried on the last studies.

Both are functions for a child process: a draft may be whatever somebody has typed, and its reader has a deadline.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from node.config import loading
from node.config.from_values import validated
from node.config.loading import LoadedConfiguration
from node.config.models import Configuration
from node.config.problems import ConfigurationError, Problem
from node.desk import pipeline, queues
from node.desk import replay as replaying
from node.desk.pipeline import Pipeline
from node.desk.replay import ReplayResult
from node.items import defect_of

_MOST_DIFF = 400
_MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class DraftText:
    """One file with another text, beside all others as they are."""

    config: Path
    """The configuration."""
    file: Path
    """The file that it is a draft of, without links."""
    name: str
    """What the file is called, from the folder of the configuration."""
    text: str
    in_force: Mapping[str, Any]
    """What runs now, as plain values."""
    folder: Path
    """Where relative paths of these begin."""


@dataclass(frozen=True, slots=True)
class DraftProblem:
    """What is wrong, and where."""

    file: str
    """From the folder of the configuration; empty where it is not about a file."""
    line: int
    """From 1; 0 for the file as a whole."""
    column: int
    where: str
    """`rules[2].run`."""
    message: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class DraftCheck:
    """What the node would say of it."""

    problems: Sequence[DraftProblem] = ()
    warnings: Sequence[DraftProblem] = ()
    tests: Sequence[str] = ()
    """Names of the tests beside the rules, all of which pass where there is no problem."""
    serious: Sequence[str] = ()
    """What changes whom results reach, or who may send: sentences."""
    pipeline: Pipeline | None = None
    """None where there is a problem."""
    diff: Sequence[str] = ()
    """What it changes of the file, as a unified diff."""


@dataclass(frozen=True, slots=True)
class DraftTrial:
    """A draft that is to be tried on the studies that were complete since some time."""

    draft: DraftText
    period: timedelta
    at: datetime


def check(draft: DraftText) -> DraftCheck:
    """Check it as the node would when the file is saved, its tests included. Never raises for what the text holds."""
    diff = _diff(draft)
    try:
        loaded = _read(draft)
        serious = serious_changes(validated(draft.in_force, draft.folder), loaded.configuration)
    except ConfigurationError as error:
        return DraftCheck(_for_people(error.problems, draft), diff=diff)
    except Exception as error:  # noqa: BLE001 - whatever a text does to its reader
        return DraftCheck([DraftProblem(draft.name, 0, 0, "", f"it cannot be read: {defect_of(error)}", "")], diff=diff)
    warnings = _for_people(loaded.warnings, draft)
    cancelled = queues.cancelled_by(loaded.configuration).values()
    warnings += [DraftProblem("", 0, 0, "", text.partition("; pacsnode")[0], "") for text in cancelled]
    tests = [each.name for each in loaded.configuration.tests]
    return DraftCheck((), warnings, tests, serious, pipeline.of(loaded.configuration), diff)


def try_on(trial: DraftTrial) -> ReplayResult | DraftCheck:
    """What its rules would have done beside those in force, or what is wrong with it. NotFoundError without ledger."""
    draft = trial.draft
    try:
        rules = _read(draft).configuration.rules
    except ConfigurationError as error:
        return DraftCheck(_for_people(error.problems, draft), diff=_diff(draft))
    running = validated(draft.in_force, draft.folder)
    return replaying.run(replaying.plan_of(running, rules, trial.period, trial.at), lambda _: None)


def serious_changes(now: Configuration, draft: Configuration) -> list[str]:
    """What a draft opens: results that readers take for clinical, other readers, no identity check, more senders."""
    before = {rule.name for rule in now.rules if rule.enabled and rule.mode == "clinical"}
    said = [
        f"the rule {rule.name} goes to clinical"
        for rule in draft.rules
        if rule.enabled and rule.mode == "clinical" and rule.name not in before
    ]
    for name, destination in draft.destinations.items():
        known = now.destinations.get(name)
        if destination.audience != (known.audience if known else "evaluation"):
            said.append(f"the destination {name} has the audience {destination.audience}")
        if destination.identity_check == "none" and (known is None or known.identity_check != "none"):
            said.append(f"the destination {name} is not asked for patient and order any more (identity_check: none)")
    if draft.node.accept == "any" and now.node.accept != "any":
        said.append("everybody may send to this node (accept: any)")
    return said


def _read(draft: DraftText) -> LoadedConfiguration:
    """ConfigurationError."""
    from node.run import catalogue  # plugins with all that runs them, which the console's own process never needs

    loaded = loading.read(draft.config, {draft.file: draft.text.encode("utf-8", "replace")})
    catalogue.usable(loaded.configuration)
    return loaded


def _diff(draft: DraftText) -> list[str]:
    try:
        before = draft.file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    lines = list(difflib.unified_diff(before, draft.text.splitlines(), "now", "draft", lineterm="", n=2))[2:]
    return lines[:_MOST_DIFF] + (["…"] if len(lines) > _MOST_DIFF else [])


def _for_people(problems: Sequence[Problem], draft: DraftText) -> list[DraftProblem]:
    return [_problem(each, draft) for each in problems[:_MOST_PROBLEMS]]


def _problem(problem: Problem, draft: DraftText) -> DraftProblem:
    place = problem.place
    name = draft.name if Path(place.file).resolve() == draft.file else _shortened(place.file, draft)
    message = _shortened(problem.message, draft)
    return DraftProblem(name, place.line, place.column, problem.yaml_path, message, problem.suggestion or "")


def _shortened(text: str, draft: DraftText) -> str:
    """Without the folders of the machine, which are nobody's matter in a browser."""
    for folder in dict.fromkeys((str(draft.folder), str(draft.config.parent))):
        text = text.replace(f"{folder}/", "").replace(folder, "the folder of the configuration")
    return text
