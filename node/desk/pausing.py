"""Pausing a plugin, a rule or a destination, and letting it go on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from node.config.models import Configuration
from node.config.problems import closest
from node.desk.actions import ActionOutcome
from node.desk.actor import Actor
from node.desk.rights import Right, require
from node.errors import UsageError
from node.ledger import outages, pauses, suspensions
from node.ledger.database import Ledger
from node.ledger.pauses import Pausable, Pause


def pause(ledger: Ledger, configuration: Configuration, found: Pause, by: Actor) -> ActionOutcome:
    """Hold it back from now on.

    Raises UsageError where the configuration has none of this name, PermanentError where it is paused already.
    """
    require(by, Right.ACT)
    if found.what is Pausable.SUSPENSION:
        raise UsageError("stop rules suspend; a person pauses a plugin, a rule or a destination")
    check_name(configuration, found.what, found.name)
    if not found.why.strip():
        raise UsageError("say why it is paused: whoever finds it later has to know")
    with ledger.transaction() as database:
        pauses.begin(database, found.since, found)
    value = {"what": found.what, "name": found.name, "status": "paused"}
    return ActionOutcome(
        f"{found.what} {found.name} is paused; pacsnode resume {found.what} {found.name} lets it go on", value
    )


def resume(ledger: Ledger, what: Pausable, name: str, at: datetime, by: Actor, why: str | None = None) -> ActionOutcome:
    """Let it go on; NotFoundError where it is not paused. What the configuration no longer has can be resumed, too.

    Raises UsageError where no reason is given for ending what a stop rule has suspended.
    """
    require(by, Right.ACT)
    is_suspension = what is Pausable.SUSPENSION
    if is_suspension and not (why or "").strip():
        raise UsageError("say why it may go on (--why): a stop rule had suspended it")
    with ledger.transaction() as database:
        if is_suspension:
            suspensions.end(database, at, name, str(by), why or "")
        else:
            pauses.end(database, at, what, name, str(by), why)
        if what is Pausable.DESTINATION:
            outages.resumed(database, at, name)
    return ActionOutcome(f"{what} {name} goes on", {"what": what, "name": name, "status": "resumed"})


def kind(text: str) -> Pausable:
    """What can be paused; UsageError."""
    try:
        return Pausable(text)
    except ValueError:
        raise UsageError(f'"{text}" cannot be paused: name one of {", ".join(Pausable)}') from None


def check_name(configuration: Configuration, what: Pausable, name: str) -> None:
    """UsageError with what may be meant, where the configuration has none of this name."""
    known = _names(configuration, what)
    if name not in known:
        meant = closest(name, known)
        hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known) or 'none'}"
        raise UsageError(f'the configuration has no {what} "{name}"; {hint}')


def _names(configuration: Configuration, what: Pausable) -> list[str]:
    names: dict[Pausable, Iterable[str]] = {
        Pausable.PLUGIN: {step.plugin for rule in configuration.rules for step in rule.run} | {*configuration.plugins},
        Pausable.RULE: (rule.name for rule in configuration.rules),
        Pausable.DESTINATION: configuration.destinations,
        Pausable.SUSPENSION: (),
    }
    return sorted(names[what])
