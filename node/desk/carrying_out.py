"""Carries out an answer of `review`: given the arguments of its command, what `pacsnode` does with the same words.

Nothing else than the answers of `review` is understood, so a face may hand on what it was sent. An answer about many is
looked at first (`described`), and carried out for no more than somebody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from node.config.models import Configuration
from node.desk import (
    actions,
    alerts,
    answers,
    boxes,
    bulk,
    earlier_results,
    find,
    pausing,
    recalls,
    retention,
)
from node.desk.actor import Actor
from node.desk.bulk import BulkAction, Many, Selection
from node.desk.earlier_results import EarlierResultsAnswer
from node.desk.outcomes import ActionOutcome
from node.desk.recalls import RecallRequest
from node.desk.rights import Right, require
from node.errors import UsageError
from node.ledger.database import Ledger

_FLAGS = ("--take-newest", "--dry-run", "--as-sent", "--send", "--dismiss")
_OF_MANY = ("--status", "--rule", "--plugin", "--destination", "--study")


@dataclass(frozen=True, slots=True)
class AnswerWords:
    """The arguments of an answer's command, taken apart."""

    verb: str
    names: Sequence[str]
    options: Mapping[str, str]
    flags: frozenset[str]

    @property
    def is_of_many(self) -> bool:
        """Whether it is about all that have something in common."""
        return self.verb in ("retry", "cancel") and not self.names

    @property
    def needs_reason(self) -> bool:
        """Whether whoever gives it has to say why."""
        return "--why" in self.options

    @property
    def is_look(self) -> bool:
        """Whether it changes nothing."""
        return "--dry-run" in self.flags


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """An answer on its way."""

    words: AnswerWords
    why: str
    """In somebody's words, where the answer needs a reason."""
    at: Callable[[], datetime]
    """The clock: many are done one after the other."""
    by: Actor
    most: int | None = None
    """How many somebody has seen that it is about; None where it is about one."""


def read(command: Sequence[str]) -> AnswerWords:
    """Take a command apart; UsageError where no answer is like it."""
    names, options, flags = list[str](), dict[str, str](), set[str]()
    words = iter(command)
    for word in words:
        if word in _FLAGS:
            flags.add(word)
        elif word.startswith("--"):
            options[word] = next(words, "")
        else:
            names.append(word)
    if not names or names[0] not in _VERBS:
        raise UsageError("review gives no such answer")
    return AnswerWords(names[0], tuple(names[1:]), options, frozenset(flags))


def many_of(ledger: Ledger, configuration: Configuration, action: BulkAction, selection: Selection) -> Many:
    """What a selection takes now; UsageError where it names what was never there."""
    if selection.study is not None:
        with ledger.reading() as database:
            selection = replace(selection, study=find.study(database, selection.study).study_instance_uid)
    many = bulk.find(ledger, action, selection)
    if not many.count:  # where there is something, the name may be one that the configuration had before
        bulk.check_names(configuration, selection)
    return many


def found_by(ledger: Ledger, configuration: Configuration, words: AnswerWords) -> Many:
    """What an answer about many takes now."""
    status, rule, plugin, destination, study = (words.options.get(option) for option in _OF_MANY)
    return many_of(ledger, configuration, BulkAction(words.verb), Selection(status, rule, plugin, destination, study))


def carry_out(ledger: Ledger, configuration: Configuration, given: AnswerTask) -> ActionOutcome:
    """Do it; raises what the function of the answer raises, UsageError where it is none or lacks its reason."""
    require(given.by, Right.ACT)
    words = given.words
    if words.is_of_many:
        many = found_by(ledger, configuration, words)
        if given.most is None or many.count > given.most:
            raise UsageError(f"that is {many.sentence} by now: look at it again")
        return bulk.carry_out(ledger, many, given.at, given.by)
    try:
        return _VERBS[words.verb](ledger, configuration, given)
    except (IndexError, KeyError):
        raise UsageError("review gives no such answer") from None


def _release(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    newest = "--take-newest" in given.words.flags
    return actions.release(ledger, given.words.names[0], given.at(), given.by, take_newest=newest)


def _retry(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    return actions.retry(ledger, given.words.names[0], given.at(), given.by)


def _cancel(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    return actions.cancel(ledger, given.words.names[0], given.at(), given.by)


def _done(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    return answers.done(ledger, given.words.names[0], given.at(), given.by)


def _adopt(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    study, destination = given.words.names[0], given.words.names[1]
    return answers.adopt(ledger, study, destination, given.at(), given.by)


def _restored(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    is_there = "--as-sent" in given.words.flags
    if is_there == ("--send" in given.words.flags):
        raise UsageError("review gives no such answer")
    said = EarlierResultsAnswer.AS_SENT if is_there else EarlierResultsAnswer.SEND
    destination = given.words.options["--destination"]
    return earlier_results.answer(ledger, given.words.names[0], destination, said, given.at(), given.by)


def _answers(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    name = given.words.names[0]
    if "--dismiss" in given.words.flags:
        return boxes.dismiss(ledger, name, given.at(), given.by)
    return boxes.give(ledger, name, given.words.options["--give"], given.at(), given.by)


def _alerts(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    return alerts.acknowledge(ledger, f"{alerts.ALERT}{given.words.names[1]}", given.at(), given.by)


def _resume(ledger: Ledger, _: Configuration, given: AnswerTask) -> ActionOutcome:
    what, name = pausing.kind(given.words.names[0]), given.words.names[1]
    return pausing.resume(ledger, what, name, given.at(), given.by, given.why)


def _plugin(ledger: Ledger, configuration: Configuration, given: AnswerTask) -> ActionOutcome:
    """Only to look: a version is withdrawn where its plugins are."""
    words = given.words
    if words.names[0] != "withdraw" or not words.is_look:
        raise UsageError("review gives no such answer")
    asked = RecallRequest(words.names[1], words.names[2], recalls.reason_of(words.options["--reason"]))
    found = recalls.dry_run(ledger, configuration, asked, given.at(), given.by)
    return ActionOutcome("\n".join(recalls.lines(found)), recalls.plain(found))


def _retention(ledger: Ledger, configuration: Configuration, given: AnswerTask) -> ActionOutcome:
    if not given.words.is_look:
        return retention.begin(ledger, configuration, given.at(), given.by)
    found = retention.look(ledger, configuration, given.at())
    going = [f"{each.name}: {each.going} {retention.UNITS.get(each.name, 'rows')}" for each in found.classes]
    value: Mapping[str, Any] = retention.for_scripts(found)
    return ActionOutcome("\n".join(["would go now, by class:", *going]), value)


_VERBS: Mapping[str, Callable[[Ledger, Configuration, AnswerTask], ActionOutcome]] = {
    "release": _release,
    "retry": _retry,
    "cancel": _cancel,
    "done": _done,
    "adopt": _adopt,
    "restored": _restored,
    "answers": _answers,
    "alerts": _alerts,
    "resume": _resume,
    "plugin": _plugin,
    "retention": _retention,
}
