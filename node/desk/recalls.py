"""Withdrawing a version of a plugin, seeing what that concerns, and taking it back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from node.config.models import Configuration
from node.config.problems import closest
from node.desk.actor import Actor
from node.desk.find import RECALL
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import plugin_versions, recalled_results, recalls, rejection_notes, withdrawals
from node.ledger.database import Database, Ledger
from node.ledger.plugin_names import key_of
from node.ledger.recalled_results import RecalledResult, RecallSurvey
from node.ledger.recalls import NewRecall, Recall, RecallReason
from node.ledger.withdrawals import WithdrawalStatus
from plugins.manifest_table import ManifestError

_DRY = 0
"""Number of a withdrawal that is not in the ledger."""


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """What a person asks for."""

    plugin: str
    version: str
    reason: RecallReason
    why: str = ""
    per_minute: int | None = None
    """Rejection notes a minute; None leaves it as it is."""


@dataclass(frozen=True, slots=True)
class RecallReport:
    """A withdrawal, and what it concerns now."""

    recall: Recall
    is_dry: bool
    """Nothing was changed."""
    survey: RecallSurvey
    delivered: Sequence[RecalledResult]
    states: Mapping[WithdrawalStatus, int]
    """How many objects are how far."""
    notes: Mapping[str, int]
    """Destination → rejection notes that are still to be made for it."""
    by_hand: Sequence[str]
    """Destinations that have results and get no rejection notes."""


def reason_of(text: str) -> RecallReason:
    """The reason of this name; UsageError."""
    try:
        return RecallReason(text)
    except ValueError:
        raise UsageError(f"--reason {text}: expected one of {', '.join(RecallReason)}") from None


def withdraw(
    ledger: Ledger, configuration: Configuration, asked: RecallRequest, at: datetime, by: Actor
) -> RecallReport:
    """Withdraw a version, or go on with a withdrawal of it that was cut short.

    Raises UsageError where nobody knows the version, PermanentError where it is withdrawn for another reason.
    """
    require(by, Right.ACT)
    installed = _installed(configuration, asked.plugin) == asked.version
    _check_known(ledger.database, configuration, asked, installed)
    with ledger.transaction() as database:
        known = recalls.find(database, asked.plugin, asked.version)
        if known is not None and known.reason is not asked.reason:
            raise PermanentError(
                f"{known.name} is withdrawn already, by {known.by}, for another reason: {known.reason}"
            )
        per_minute = asked.per_minute or recalls.PER_MINUTE
        new = NewRecall(asked.plugin, asked.version, asked.reason, asked.why, str(by), per_minute)
        recall = known or recalls.begin(database, at, new)
        if known is not None and asked.per_minute is not None:
            recalls.change_rate(database, known, asked.per_minute)
    recalled_results.carry_out(ledger, recall, at)
    return _report(ledger, configuration, recalls.get(ledger.database, recall.id), installed=installed, is_dry=False)


def dry_run(
    ledger: Ledger, configuration: Configuration, asked: RecallRequest, at: datetime, by: Actor
) -> RecallReport:
    """What `withdraw` would concern, or has; changes nothing."""
    require(by, Right.ACT)
    installed = _installed(configuration, asked.plugin) == asked.version
    _check_known(ledger.database, configuration, asked, installed)
    recall = recalls.find(ledger.database, asked.plugin, asked.version) or Recall(
        id=_DRY,
        plugin=key_of(asked.plugin),
        version=asked.version,
        reason=asked.reason,
        why=asked.why,
        by=str(by),
        at=at,
        per_minute=asked.per_minute or recalls.PER_MINUTE,
        listed_at=None,
        ended_at=None,
        ended_by=None,
        ended_why=None,
    )
    return _report(ledger, configuration, recall, installed=installed, is_dry=True)


def reinstate(ledger: Ledger, plugin: str, version: str, why: str, at: datetime, by: Actor) -> ActionOutcome:
    """Take a withdrawal back; NotFoundError where the version is not withdrawn, UsageError without a reason.

    What is listed may stay where it is. What was not analysed, cancelled or held stays so until a person has
    it done again, and what an archive has rejected stays rejected.
    """
    require(by, Right.ACT)
    if not why.strip():
        raise UsageError("say why it may run again (--why): it was withdrawn for a reason")
    with ledger.transaction() as database:
        recall = recalls.find(database, plugin, version)
        if recall is None:
            raise NotFoundError(f"{plugin} {version} is not withdrawn")
        recalls.end(database, at, recall, str(by), why)
        stay = withdrawals.end_recalled(database, at, recall.id, WithdrawalStatus.DISMISSED, str(by))
        stopped = rejection_notes.stop(database, at, recall, str(by))
        left = recalled_results.survey(database, recall, installed=False)
    more = ""
    if left.held:
        more += f"\n{left.held} objects are still held: pacsnode retry --status held --plugin {recall.plugin}"
    if left.not_analysed:
        again = f"pacsnode retry --status failed --plugin {recall.plugin}"
        more += f"\n{left.not_analysed} jobs were not analysed because of it: {again}"
    if left.cancelled:
        more += f"\n{left.cancelled} jobs of later steps stay cancelled: pacsnode retry --status cancelled"
    value = {
        "plugin": recall.plugin,
        "version": version,
        "status": "reinstated",
        "stay": stay,
        "notes_stopped": stopped,
    }
    return ActionOutcome(f"{recall.name} may run again; {stay} objects may stay where they are{more}", value)


def plain(found: RecallReport) -> dict[str, Any]:
    """For scripts."""
    recall = found.recall
    return {
        "withdrawal": recall.id or None,
        "dry_run": found.is_dry,
        **{name: getattr(recall, name) for name in ("plugin", "version", "reason", "why", "by", "at", "per_minute")},
        "complete": recall.listed_at is not None,
        **asdict(found.survey),
        "objects": {str(status): count for status, count in found.states.items()},
        "rejection_notes": dict(found.notes),
        "by_hand": list(found.by_hand),
        "delivered": [asdict(each) for each in found.delivered],
    }


def lines(found: RecallReport) -> Iterator[str]:
    """What a person should know beside the list."""
    recall, survey = found.recall, found.survey
    studies = len({each.study_instance_uid for each in found.delivered})
    if found.is_dry and not recall.id:
        yield f"{recall.name} would be withdrawn ({recall.reason}); nothing was changed"
        yield f"{survey.to_stop} jobs would be stopped and end as not analysed, {survey.to_hold} objects held"
    else:
        yield f"{recall.name} is withdrawn ({recall.reason}) by {recall.by}: withdrawal {recall.id}"
        yield f"{survey.stopped} jobs were stopped and queued again; {survey.to_stop} wait to end as not analysed"
        yield f"{survey.cancelled} jobs of later steps were cancelled; {survey.held} objects are held"
    yield f"{len(found.delivered)} objects of {studies} studies were delivered"
    for destination, count in found.notes.items():
        yield f"{destination}: {count} rejection notes are to be made, {recall.per_minute} a minute at most"
    if found.by_hand:
        yield f"no rejection notes go to {', '.join(found.by_hand)}: results have to be taken out there by hand"
        if recall.id:
            yield f"when that is done: pacsnode done {RECALL}{recall.id}"


def _report(
    ledger: Ledger, configuration: Configuration, recall: Recall, *, installed: bool, is_dry: bool
) -> RecallReport:
    with ledger.reading() as database:
        found = recalled_results.delivered(database, recall)
        states = withdrawals.counts_of_recall(database, recall.id)
        survey = recalled_results.survey(database, recall, installed=installed)
        wanting = [name for name, each in configuration.destinations.items() if each.rejection_notes]
        notes = {name: rejection_notes.how_many(database, recall, [name]) for name in wanting}
    if recall.id == _DRY:
        studies = {(each.destination, each.study_instance_uid) for each in found if not each.rests}
        notes = dict(Counter(destination for destination, _ in sorted(studies) if destination in wanting))
    left = [each for each in found if each.status not in (WithdrawalStatus.DONE, WithdrawalStatus.DISMISSED)]
    by_hand = sorted({each.destination for each in left if each.destination not in wanting or each.rests})
    return RecallReport(recall, is_dry, survey, found, states, {name: n for name, n in notes.items() if n}, by_hand)


def _installed(configuration: Configuration, plugin: str) -> str | None:
    """The version that the configuration has; None where it has none, or one that cannot be read."""
    try:
        from node.config import plugins as configured

        manifest = configured.manifest_of(plugin, configuration.plugins)
    except ManifestError:
        return None
    return manifest.identity.version if manifest else None


def _check_known(database: Database, configuration: Configuration, asked: RecallRequest, installed: bool) -> None:
    """UsageError where neither the site nor the ledger knows the version: a slip must not look like a withdrawal."""
    if installed or recalls.find(database, asked.plugin, asked.version) is not None:
        return
    ran = plugin_versions.names(database)
    if (key_of(asked.plugin), asked.version) in ran:
        return
    here = _installed(configuration, asked.plugin)
    versions = sorted({version for name, version in ran if name == key_of(asked.plugin)} | ({here} if here else set()))
    if versions:
        raise UsageError(f"{asked.plugin} {asked.version} never ran here; there is {', '.join(versions)}")
    from node.config import plugins as configured  # with NumPy, which no other action needs

    names = sorted({name for name, _ in ran} | {*configuration.plugins, *configured.built_in()})
    meant = closest(asked.plugin, names)
    raise UsageError(f"there is no plugin {asked.plugin}" + (f"; did you mean {meant}?" if meant else ""))
