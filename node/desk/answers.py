"""What a person answers to a question that `review` lists, beside `retry` and `cancel`.

Each is one transaction that names the actor, and returns what was done. What cannot be done raises a refusal that says
why: NotFoundError, UsageError, PermanentError.
"""

from __future__ import annotations

from datetime import datetime

from node.desk import find
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import adoptions, dismissals, identities, recalls, timers, withdrawal_parts, withdrawals
from node.ledger.database import Database, Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.due_times import MANY
from node.ledger.identities import Identity, IdentityStatus
from node.ledger.instances import InstanceStatus
from node.ledger.studies import Study
from node.ledger.withdrawals import WithdrawalStatus

NO_STUDY = "none"
"""In place of a study, for objects that name none."""


def done(ledger: Ledger, what: str, at: datetime, by: Actor) -> ActionOutcome:
    """What is listed for withdrawal was taken out at the destinations.

    `what`: `withdrawal:STUDY`, or `recall:NUMBER` for a version of a plugin.
    """
    require(by, Right.ACT)
    if what.startswith(find.RECALL):
        with ledger.transaction() as database:
            return recalled(database, what, WithdrawalStatus.DONE, at, by)
    if not what.startswith(find.WITHDRAWAL):
        raise UsageError(
            f'"{what}" is no list for withdrawal: name it as {find.WITHDRAWAL}STUDY or {find.RECALL}NUMBER'
        )
    list_all(ledger, what)
    with ledger.transaction() as database:
        study = find.study(database, what.removeprefix(find.WITHDRAWAL))
        outcome = withdrawn(database, study, WithdrawalStatus.DONE, at, by)
    end_others(ledger, outcome, at, by)
    return outcome


def list_all(ledger: Ledger, what: str) -> None:
    """List what is still to be listed of a study (`withdrawal:STUDY`): a person who answers means it, too."""
    with ledger.reading() as database:
        study = find.study(database, what.removeprefix(find.WITHDRAWAL))
        parts = withdrawal_parts.waiting(database, study.study_instance_uid)
    for number in parts:
        with ledger.transaction() as database:
            withdrawal_parts.enter(database, number)


def end_others(ledger: Ledger, outcome: ActionOutcome, at: datetime, by: Actor) -> None:
    """The study's other objects, behind those that `withdrawn` itself has ended: the node wants to write meanwhile.

    Where that is cut short, they are still listed, and the same command ends them.
    """
    study, status, count = (outcome.value[name] for name in ("study_instance_uid", "status", "objects"))
    for first in range(MANY, count, MANY):
        with ledger.transaction() as database:
            withdrawals.end_some(database, at, study, status, str(by), min(MANY, count - first))


def withdrawn(database: Database, study: Study, status: WithdrawalStatus, at: datetime, by: Actor) -> ActionOutcome:
    """What is listed for withdrawal was taken out at the destinations (`DONE`), or may stay (`DISMISSED`).

    Of thousands of objects the others need `end_others` after the transaction.
    """
    require(by, Right.ACT)
    uid = study.study_instance_uid
    count = withdrawals.end(database, at, uid, status, str(by))
    if not count:
        raise NotFoundError(f"nothing of study {uid} is listed for withdrawal")
    value = {"study_instance_uid": uid, "status": status, "objects": count}
    why = "" if status is WithdrawalStatus.DISMISSED else ": they were taken out there"
    return ActionOutcome(f"{count} objects of study {uid} are no longer listed for withdrawal{why}", value)


def recalled(database: Database, what: str, status: WithdrawalStatus, at: datetime, by: Actor) -> ActionOutcome:
    """What is left of a withdrawn version was taken out at the destinations, or may stay; `what`: `recall:NUMBER`."""
    require(by, Right.ACT)
    number = what.removeprefix(find.RECALL)
    recall = recalls.get(database, int(number) if number.isascii() and number.isdigit() else 0)
    count = withdrawals.end_recalled(database, at, recall.id, status, str(by))
    if not count:
        raise NotFoundError(f"nothing of {recall.name} is listed for withdrawal")
    why = "were taken out" if status is WithdrawalStatus.DONE else "may stay"
    value = {"withdrawal": recall.id, "status": status, "objects": count}
    return ActionOutcome(f"{count} objects of {recall.name} are no longer listed: they {why}", value)


def dismiss(database: Database, what: str, at: datetime, by: Actor) -> ActionOutcome:
    """What is set aside of a study stays so, and asks for nobody; `what`: `conflict:STUDY` or `unreadable:STUDY`."""
    require(by, Right.ACT)
    kind, _, name = what.partition(":")
    uid = "" if name == NO_STUDY else find.study(database, name).study_instance_uid
    count = dismissals.dismiss(database, at, InstanceStatus(kind), uid, str(by))
    value = {"study_instance_uid": uid, "status": "dismissed", "instances": count}
    of_study = f"of study {uid}" if uid else "that name no study"
    return ActionOutcome(f"{count} objects {of_study} stay set aside ({kind}); what came first counts", value)


def is_dismissable(what: str) -> bool:
    """Whether `dismiss` takes it."""
    return what.partition(":")[0] in dismissals.DISMISSABLE and ":" in what


def end_waits(ledger: Ledger, name: str, rule: str | None, at: datetime, by: Actor) -> ActionOutcome:
    """Nothing more comes of a complete study: its rules that wait (or this one) decide now, as at their deadlines.

    NotFoundError where none waits, PermanentError where the study is still being received.
    """
    require(by, Right.ACT)
    with ledger.transaction() as database:
        study = find.study(database, name)
        uid = study.study_instance_uid
        waiting = [each for each in timers.waiting(database, uid) if rule in (None, each.rule)]
        if not waiting:
            raise NotFoundError(f"{f'rule {rule} does not wait' if rule else 'no rule waits'} for more of study {uid}")
        if study.decided_revision < study.revision or study.status != "complete":
            raise PermanentError(f"study {uid} is still being received: pacsnode complete {uid}, then end the wait")
        for timer in waiting:
            timers.end(database, at, timer, str(by))
    names = ", ".join(each.rule for each in waiting)
    value = {"study_instance_uid": uid, "status": "wait ended", "rules": [each.rule for each in waiting]}
    held = "; it is held, and they decide when it is released" if study.hold else ""
    return ActionOutcome(f"nothing more of study {uid} is waited for: {names} decides as at its deadline{held}", value)


def adopt(ledger: Ledger, name: str, destination: str, at: datetime, by: Actor) -> ActionOutcome:
    """Re-encode a study's results for a destination under the patient and order that it has.

    NotFoundError where the destination has not said that it has the study under others; PermanentError where patient
    and order of the images themselves are in question, or the answer is not clear.
    """
    require(by, Right.ACT)
    with ledger.transaction() as database:
        study = find.study(database, name)
        uid = study.study_instance_uid
        known = identities.get(database, uid, destination)
        if known is None or known.status is not IdentityStatus.DIFFERS or not known.theirs:
            raise NotFoundError(f"{destination} has not said that it has study {uid} under another patient or order")
        if why := identities.in_question(database, uid) or _unclear(known):
            raise PermanentError(f"{why}: what {destination} has cannot be adopted")
        theirs, last = adoptions.adoptable(known.theirs[0]), adoptions.newest(database, uid, destination)
        if last is not None and last.identity == theirs:
            raise PermanentError(
                f"what {destination} has was adopted by {last.by}: the results are re-encoded under it"
            )
        found = adoptions.adopt(database, at, uid, destination, theirs, str(by))
        to_re_encode = adoptions.to_re_encode(database, found)
    sent = sum(each.status is DeliveryStatus.DELIVERED for those in to_re_encode.values() for each in those)
    sentence = (
        f"{len(to_re_encode)} results of study {uid} are re-encoded for {destination} under the patient and order that"
        f" it has ({known.detail})"
    )
    if sent:
        sentence += f"\n{sent} objects that it has are listed for withdrawal: pacsnode done {find.WITHDRAWAL}{uid}"
    value = {"study_instance_uid": uid, "destination": destination, "status": "adopted", "revision": found.number}
    return ActionOutcome(sentence, value | {"results": len(to_re_encode), "to_withdraw": sent})


def can_adopt(database: Database, study: str, destination: str) -> bool:
    """Whether `adopt` would be carried out now."""
    known = identities.get(database, study, destination)
    if known is None or known.status is not IdentityStatus.DIFFERS or not known.theirs:
        return False
    last = adoptions.newest(database, study, destination)
    taken = last is not None and last.identity == adoptions.adoptable(known.theirs[0])
    return not (taken or identities.in_question(database, study) or _unclear(known))


def _unclear(known: Identity) -> str:
    if len(known.theirs) != 1:
        return "it gave several answers"
    answer = adoptions.adoptable(known.theirs[0])
    missing = [keyword for keyword in ("PatientID", "PatientName", "AccessionNumber") if not answer[keyword]]
    missing += [keyword for keyword, value in answer.items() if "\\" in value]
    return f"it states no single {', '.join(missing)}" if missing else ""
