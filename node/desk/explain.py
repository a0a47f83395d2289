"""Why each rule matches a study or does not, now and as it was decided: of the ledger, or of files on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from node.config.models import Configuration
from node.config.problems import closest
from node.desk import find, plain
from node.desk.site import open_ledger
from node.desk.words import tail
from node.errors import NotFoundError, UsageError
from node.ledger import decisions, recalls, suspensions
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.decisions import StoredDecision as Recorded
from node.ledger.plugin_names import key_of
from node.ledger.studies import Study
from node.route.recorded import recorded_facts
from rules import engine, example_runs, given
from rules.decision import Decision
from rules.facts import StudyFacts
from rules.model import Rule, rule_set_digest
from rules.reading import shown


@dataclass(frozen=True, slots=True)
class StudyExplanation:
    """One study, and what each rule says of it."""

    facts: StudyFacts
    decisions: Sequence[Decision]
    row: Study | None = None
    """None for files."""
    recorded: Sequence[Recorded] = field(default_factory=tuple)
    """What was decided on its newest decided revision."""
    stopped: Sequence[str] = field(default_factory=tuple)
    """Why what these rules would run is not run: withdrawn versions, and what stop rules have suspended."""
    outside: Sequence[str] = field(default_factory=tuple)
    """Plugin and why its images are outside of what it was validated on, or not known to be within."""

    @property
    def differing(self) -> list[Recorded]:
        """What was decided and is not what the rules say now."""
        now = {each.rule.name: each for each in self.decisions}
        return [each for each in self.recorded if _differs(each, now.get(each.rule))]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every study that was asked about."""

    rules: Sequence[Rule]
    """Those that were asked."""
    digest: str
    """Of all rules of the configuration."""
    studies: Sequence[StudyExplanation]
    skipped: Sequence[tuple[Path, str]] = ()
    """Files that rules see nothing of, each with the reason."""


def explain(
    configuration: Configuration, what: Sequence[str], rule: str | None, at: datetime, origin: str = "received"
) -> Explanation:
    """What the rules of the configuration, or the one of this name, say of a study or of files and folders.

    A study of the ledger is seen as of the moment when it was complete, files as if all had arrived at `at`, by
    `origin`. Raises NotFoundError, UsageError.
    """
    rules = _chosen(configuration, rule)
    digest = rule_set_digest(configuration.rules)
    paths = [Path(each) for each in what]
    if not any(path.exists() for path in paths):
        return Explanation(rules, digest, [_in_ledger(what, configuration, rules)])
    studies, skipped = _in_files(paths, configuration, rules, at, origin)
    return Explanation(rules, digest, studies, skipped)


def _outside(configuration: Configuration, facts: StudyFacts, taken: Sequence[Decision]) -> tuple[str, ...]:
    from node.desk.envelopes import SiteEnvelopes  # with numpy, for manifests: `study` needs none

    envelopes = SiteEnvelopes(configuration)
    lines: dict[str, None] = {}
    for run in (run for decision in taken if decision.matched for run in decision.runs):
        verdict = envelopes.verdict(facts, run)
        what = "does not run on these images" if verdict.is_refused else "runs, and its report says"
        lines |= dict.fromkeys(f"{run.plugin} {what}: {each}" for each in verdict.sentences)
    return tuple(lines)


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


def _decided(rules: Sequence[Rule], configuration: Configuration, facts: StudyFacts) -> tuple[Decision, ...]:
    """What these rules say; one for what no other rule takes is asked after all the others."""
    names = {rule.name for rule in rules}
    others = (
        [each for each in configuration.rules if each.name not in names]
        if any(each.otherwise for each in rules)
        else []
    )
    return tuple(each for each in engine.decide([*rules, *others], facts) if each.rule.name in names)


def _in_files(
    paths: Sequence[Path], configuration: Configuration, rules: Sequence[Rule], at: datetime, origin: str
) -> tuple[list[StudyExplanation], list[tuple[Path, str]]]:
    from node.desk import files  # with the library that reads DICOM, which a study of the ledger does not need

    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError("\n".join(f"{path}: there is no such file or folder" for path in missing))
    found = files.studies_in(paths, at, configuration, origin)
    return [_explained(rules, configuration, facts) for facts in found.studies], found.skipped


def _explained(rules: Sequence[Rule], configuration: Configuration, facts: StudyFacts) -> StudyExplanation:
    taken = _decided(rules, configuration, facts)
    return StudyExplanation(facts, taken, outside=_outside(configuration, facts, taken))


def _in_ledger(what: Sequence[str], configuration: Configuration, rules: Sequence[Rule]) -> StudyExplanation:
    if len(what) > 1:
        raise UsageError(f"one study at a time; of {', '.join(what)} none is a file or folder")
    try:
        return of_study(open_ledger(configuration), configuration, what[0], rules)
    except NotFoundError as error:
        raise NotFoundError(f'{error}; and there is no file or folder "{what[0]}"') from error


def of_study(
    ledger: Ledger, configuration: Configuration, name: str, rules: Sequence[Rule] | None = None
) -> StudyExplanation:
    """What these rules (all of the configuration, where none are given) say of a study; NotFoundError, UsageError.

    Nothing is changed and nothing is run: it is how the node would decide again now.
    """
    rules = configuration.rules if rules is None else rules
    with ledger.snapshot() as database:
        row = find.study(database, name)
        facts = recorded_facts(database, row, configuration.node.zone)
        names = {rule.name for rule in rules}
        taken = [each for each in decisions.of_study(database, row.study_instance_uid) if each.rule in names]
        stopped = tuple(_stopped(database, rules))
    newest = max((each.revision for each in taken), default=0)
    recorded = tuple({each.rule: each for each in taken if each.revision == newest}.values())  # of looks the last
    said = _explained(rules, configuration, facts)
    return replace(said, row=row, recorded=recorded, stopped=stopped)


def _stopped(database: Database, rules: Sequence[Rule]) -> Iterator[str]:
    plugins = {key_of(step.plugin) for rule in rules for step in rule.run}
    yield from (f"{each.sentence}." for each in recalls.in_force(database) if each.plugin in plugins)
    names = {rule.name for rule in rules}
    yield from (f"{each.sentence}." for each in suspensions.in_force(database) if each.rule in names)


def _differs(recorded: Recorded, now: Decision | None) -> bool:
    return now is None or (recorded.outcome is not DecisionOutcome.NOT_MATCHED) is not now.matched


def for_scripts(explanation: Explanation) -> dict[str, Any]:
    """All of it with stable keys."""
    return {
        "rule_set": explanation.digest,
        "studies": [
            {
                "study_instance_uid": each.facts.study_instance_uid,
                "accession_number": each.row.accession_number if each.row else None,
                "revision": each.facts.revision,
                "complete": each.facts.complete,
                "as_of": each.facts.now,
                "rules": [decision.trace for decision in each.decisions],
                "stopped": list(each.stopped),
                "outside": list(each.outside),
                "decided": [plain.decision(one, explain=True) for one in each.recorded],
            }
            for each in explanation.studies
        ],
        "skipped": [{"file": str(path), "reason": reason} for path, reason in explanation.skipped],
    }


def as_test(explained: StudyExplanation, rules: Sequence[Rule]) -> str:
    """YAML for `tests:`: what the rules do with this study now, and of the study only what they look at."""
    study = given.write(explained.facts, example_runs.asked_for(rules))
    accession = explained.row.accession_number if explained.row else ""
    lines = ["tests:", f"  - name: {shown(f'study {accession or tail(explained.facts.study_instance_uid)}')}"]
    lines.append("    given:")
    lines += [f"      {key}: {shown(value)}" for key, value in study.items() if key != "series"]
    lines += ["      series:", *(f"        - {shown(each)}" for each in study["series"]), "    expect:"]
    for decision in explained.decisions:
        lines.append(f"      {decision.rule.name}: {'match' if decision.matched else 'no match'}")
    return "\n".join(lines) + "\n"
