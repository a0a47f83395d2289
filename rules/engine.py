"""Facts × rules → decisions, each with its runs and a trace that says why.

Deciding is pure and total: the same rules and facts give the same decisions, and no facts make it raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeAlias

from rules import conditions, trace
from rules.actions import Wait
from rules.choose import Candidate, Choice, choose
from rules.conditions import Clause, StudyView
from rules.decision import Decision, FollowUp, Input, LaterStep, PlannedRun
from rules.facts import History, StudyFacts
from rules.limits import Gate, gates
from rules.model import Rule, Step
from rules.results import WORKED, ResultClause, ResultCondition, ResultFacts, judge
from rules.timing import opening, write_duration


def decide(rules: Sequence[Rule], study: StudyFacts) -> tuple[Decision, ...]:
    """One decision for each enabled rule, in the order of the rules."""
    asked = [rule for rule in rules if rule.enabled]
    view = _view(study, asked)
    by_series = _complete_series(view)
    first = [
        None if rule.otherwise else _decide(rule, by_series if rule.decide == "series complete" else view)
        for rule in asked
    ]
    taken = next((each.rule.name for each in first if each and _takes(each, study)), None)
    pairs = zip(asked, first, strict=True)
    return tuple(each or _otherwise(rule, view, taken) for rule, each in pairs)


def _view(study: StudyFacts, rules: Sequence[Rule]) -> StudyView:
    """The study as these rules see it: with the makers that their site names."""
    vendors = tuple(vendor.made for vendor in dict.fromkeys(each for rule in rules for each in rule.vendors))
    if not vendors:
        return StudyView(study)
    return StudyView(replace(study, series=tuple(replace(series, vendors=vendors) for series in study.series)))


def _takes(decision: Decision, study: StudyFacts) -> bool:
    """Whether a rule leaves nothing to those for what no other rule takes: it does something, waits, or has run."""
    done = study.history.get(decision.rule.name, History())
    return decision.matched or decision.waits_until is not None or bool(done.subjects)


def _otherwise(rule: Rule, view: StudyView, taken: str | None) -> Decision:
    """What a rule says that is for studies which no other rule takes."""
    if taken is None:
        return _decide(rule, view)
    return Decision(rule, f"it is for what no other rule takes, and {taken} takes the study", view, None)


def _complete_series(view: StudyView) -> StudyView:
    """The study as far as its series are complete."""
    done = tuple(each for each in view.facts.series if each.complete)
    return view if len(done) == len(view.facts.series) else StudyView(replace(view.facts, series=done))


def _decide(rule: Rule, view: StudyView) -> Decision:
    when = conditions.study(rule.condition, view)
    said = partial(Decision, rule, _view=view, _when=when)
    if closed := _closed(rule, view):
        return said(why=closed)
    if when is not True:
        return said(why=f"when {trace.words(when)}")
    if rule.wait and conditions.study(rule.wait.until.read, view) is not True:
        return _incomplete(rule, rule.wait, view, said)
    choices = _choose(rule, view)
    if empty := next((choice for choice in choices if not choice.taken), None):
        return said(why=f"when holds, but {_nothing(empty)}", _choices=choices, not_analysed=True)
    starts = opening(rule.hours, view.facts.now) if rule.hours else None
    bounds = (*_gates(rule, view.facts), *_hours(rule, view, starts))
    if any(not gate.passed for gate in bounds):
        stopped = next(gate for gate in bounds if not gate.passed)
        return said(why=f"when holds, but {stopped.text}: {stopped.why}", _choices=choices, gates=bounds)
    runs = tuple(
        _run(rule, step, given, view, starts) for given in _subjects(rule, choices, view.facts) for step in rule.run
    )
    chosen = f", and {sum(len(choice.taken) for choice in choices)} series chosen" if rule.run else ""
    later = f", to start {starts:%A %H:%M}" if starts and starts > view.facts.now else ""
    return said(
        why=f"when holds{chosen}{later}"
        if runs or not rule.run
        else "when holds, but it has run on each series already",
        _choices=choices,
        gates=bounds,
        runs=tuple(run for run in runs if not _step(rule, run.step).needs),
        later=tuple(LaterStep(step.name, step.needs) for step in rule.run if step.needs and runs),
        forward=rule.forward,
        notify=tuple(each for each in rule.notify if "match" in each.on),
        fetch=rule.prior if runs else None,
    )


def _incomplete(rule: Rule, wait: Wait, view: StudyView, said: Callable[..., Decision]) -> Decision:
    """More of the study is awaited: wait, or do what the rule says for when it did not come."""
    history = view.facts.history.get(rule.name, History())
    until = (history.waiting_since or view.facts.completed_at) + wait.at_most
    missing = [part.text for part in conditions.parts_of(wait.until.read) if conditions.study(part, view) is not True]
    if view.facts.now < until and not history.wait_ended:
        return said(why=f"when holds, and more is awaited until {until:%H:%M}: {'; '.join(missing)}", waits_until=until)
    ended = "before a person ended the wait" if view.facts.now < until else f"within {write_duration(wait.at_most)}"
    late = f"when holds, but what it waited for did not come {ended}"
    if wait.notify:
        return said(why=f"{late}: {', '.join(wait.notify.whom)} notified", notify=(wait.notify,))
    if wait.otherwise == "run":
        found = _decide(rule.model_copy(update={"wait": None}), view)
        return replace(found, rule=rule, why=f"{late}: {found.why}")
    return said(why=late, not_analysed=True)


def _choose(rule: Rule, view: StudyView) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    used: set[str] = set()
    for wish in rule.wishes:
        choices.append(choose(wish, view, used))
        used.update(each.view.facts.series_instance_uid for each in choices[-1].taken)
    return tuple(choices)


def _gates(rule: Rule, study: StudyFacts) -> list[Gate]:
    done = study.history.get(rule.name, History())
    return gates(rule.name, rule.sample, rule.limits, rule.once, study.study_instance_uid, done, study.now)


def _hours(rule: Rule, view: StudyView, starts: datetime | None) -> Iterator[Gate]:
    if rule.hours and rule.hours.otherwise == "skip":
        yield Gate("hours", starts == view.facts.now, f"it is {view.facts.now:%A %H:%M}")


Given: TypeAlias = tuple[str, tuple[Input, ...]]
"""What a run is about, and its inputs."""


def _subjects(rule: Rule, choices: Sequence[Choice], study: StudyFacts) -> list[Given]:
    """All of it for the study; or each series by itself, unless the rule has run on it."""
    inputs = tuple(_input(choice.wish.role, taken) for choice in choices for taken in choice.taken)
    if rule.once != "series":
        return [(study.study_instance_uid, inputs)]
    ran = study.history.get(rule.name, History()).subjects
    return [(each.series_instance_uid, (each,)) for each in inputs if each.series_instance_uid not in ran]


def _step(rule: Rule, name: str) -> Step:
    return next(step for step in rule.run if step.name == name)


def follow_up(
    rule: Rule, study: StudyFacts, results: Mapping[str, ResultFacts], subject: str = "", ended: str = ""
) -> tuple[FollowUp, ...]:
    """What is to be run now that these steps have a result: of the steps that wait for `ended`, or for any of them.

    A step that waits for another result, too, is left to the end of that one. `study` are the facts of the decision:
    the inputs are chosen again, and come out the same. Bounds on how often the rule runs are not asked again: the study
    has passed them. `subject` is that of the run whose result is known; the study's where it is empty.
    """
    view = _view(study, [rule])
    view = _complete_series(view) if rule.decide == "series complete" else view
    choices = _choose(rule, view)
    all_of_it = replace(study, history={}) if study.history else study
    about = dict(_subjects(rule, choices, all_of_it))
    given = (subject or study.study_instance_uid, about.get(subject or study.study_instance_uid, ()))
    starts = opening(rule.hours, study.now) if rule.hours else None
    found = []
    for step in rule.run:
        if step.needs and (not ended or ended in step.needs) and all(each in results for each in step.needs):
            asked, why, clauses = _judged(step, results)
            wanted = asked and given[1] and all(choice.taken for choice in choices)
            run = _run(rule, step, given, view, starts) if wanted else None
            if asked and run is None:
                why = "its images cannot be chosen any more"
            found.append(FollowUp(step.name, ", ".join(step.needs), run, why, clauses))
    return tuple(found)


def is_asked_for(step: Step, results: Mapping[str, ResultFacts]) -> bool:
    """Whether a step is to be run by the results of the steps that it waits for."""
    return _judged(step, results)[0]


def _judged(step: Step, results: Mapping[str, ResultFacts]) -> tuple[bool, str, tuple[ResultClause, ...]]:
    """Whether a step is to be run by the results of others, why, and the clauses that say so.

    Where there is no result to take, the step is asked for nevertheless: its report says that it was not run.
    """
    judged = step.judged or step.needs[0]
    clauses = tuple(judge(step.when_result or ResultCondition(), results[judged]))
    lacking = [each for each in dict.fromkeys(step.inputs.values()) if results[each].status not in WORKED]
    failed = None if judged in lacking else next((clause for clause in clauses if not clause.passed), None)
    if failed:
        return False, f"{failed.text}: {failed.why}", clauses
    if lacking:
        return True, f"{lacking[0]} is {results[lacking[0]].status}: it is reported as not run", clauses
    asks = "the result of" if len(step.needs) == 1 else "the results of"
    return True, f"{asks} {', '.join(step.needs)} {'asks' if len(step.needs) == 1 else 'ask'} for it", clauses


def first_runs(rule: Rule, study: StudyFacts) -> tuple[PlannedRun, ...]:
    """The runs of a rule that has decided to run, once what it waited for is here; bounds are not asked again."""
    view = _view(study, [rule])
    choices = _choose(rule, view)
    if not all(choice.taken for choice in choices):
        return ()
    starts = opening(rule.hours, study.now) if rule.hours else None
    subjects = _subjects(rule, choices, replace(study, history={}) if study.history else study)
    return tuple(_run(rule, step, given, view, starts) for given in subjects for step in rule.run if not step.needs)


def prior_series(rule: Rule, prior: StudyFacts) -> tuple[Input, ...]:
    """The series of an earlier study that the rule would choose there: by its first choice, one, under the role."""
    assert rule.prior is not None, rule.name
    wish = replace(rule.wishes[0], role=rule.prior.role, take="one")
    return tuple(_input(wish.role, taken) for taken in choose(wish, _view(prior, [rule]), set()).taken)


def _closed(rule: Rule, view: StudyView) -> str | None:
    """Why no rule, or not this one, may see the study at all."""
    if not view.series:
        return "the study has no instances"
    for each in rule.ignore:
        verdict = conditions.study(each.when.read, view)
        if verdict is not False:
            doubt = "" if verdict else ", perhaps: that is in doubt"
            return f"the site ignores such studies ({each.name}{doubt})"
    if not view.facts.complete and (early := _early(rule, view.facts)):
        return early
    if view.facts.origin == "answer" and not sees_answers(rule):
        return "a vendor's box has answered: only a rule whose `when` says `origin: answer` looks at it"
    if view.facts.origin == "retrieved" and not _on_origin(rule):
        return "this node fetched the study itself: only a rule whose `when` names origin looks at it"
    return None


def sees_answers(rule: Rule) -> bool:
    """Whether the rule is asked when a vendor's box has answered."""
    return rule.enabled and any("answer" in each.text for each in _on_origin(rule))


def _on_origin(rule: Rule) -> list[Clause]:
    """The lines that ask how the study came."""
    return [each for each in conditions.clauses_of(rule.condition) if each.name.text == "origin"]


def _early(rule: Rule, study: StudyFacts) -> str | None:
    """Why the rule is not asked yet about a study that still grows."""
    if rule.decide == "series complete":
        return None
    if rule.growing is None:
        return "the study is not complete"
    last = study.history.get(rule.name, History()).decided_at
    if last and study.now - last < rule.growing:
        return f"the study is not complete, and the rule was asked {rule.decide.replace('every', 'within')} already"
    return None


def _nothing(choice: Choice) -> str:
    role = f" as {choice.wish.role}" if choice.wish.role else ""
    undecided = any(each.undecided for each in choice.candidates)
    return f"the choice{role} is in doubt" if undecided else f"no series is left to choose{role}"


def _run(rule: Rule, step: Step, given: Given, view: StudyView, starts: datetime | None) -> PlannedRun:
    subject, inputs = given
    waits = starts is not None and starts > view.facts.now
    expires = view.facts.completed_at + rule.expires.after if rule.expires else None
    return PlannedRun(
        step.name,
        step.plugin,
        step.parameters,
        inputs,
        subject,
        rule.send,
        rule.mode,
        rule.priority,
        rule.on_correction,
        starts if waits else None,
        rule.send_when,
        expires,
        step.identity,
        step.inputs,
    )


def _input(role: str, taken: Candidate) -> Input:
    series, scope = taken.view.facts, taken.view.scope
    chosen = (uid for uid, mask in series.groups("sop_instance_uid") if mask & scope)
    return Input(role, series.series_instance_uid, tuple(sorted(chosen)))
