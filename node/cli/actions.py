"""`pacsnode retry` and `pacsnode cancel`: what a person decides about a job, a delivery or a held study."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import typer

from node.cli import commitments, output, site
from node.cli.output import cell, short
from node.clock import SystemClock
from node.dimse.status import FailureReason
from node.errors import NotFoundError, PermanentError, UsageError
from node.index import corrections
from node.ledger import commitments as requests
from node.ledger import defects, deliveries, fallbacks, forwards, identities, jobs, notifications, studies
from node.ledger.database import Database
from node.ledger.deliveries import Delivery, DeliveryStatus
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import Notification
from node.ledger.studies import Study
from node.wake import Room

_SHORTEST_PREFIX = 6
"""Characters of a job's id that name it: fewer are taken for the number of a delivery, or a slip."""
_DELIVERY = "delivery:"
"""Optional prefix of the number of a delivery, for the rare case that a job's id begins with the same digits."""
_HELP = (
    "A job (its id or a unique beginning of it), a delivery (its number) or a notification (notification:NUMBER). "
    "`status` and `study` show them"
)

_NOTIFICATION = "notification:"
"""Prefix of the number of a notification."""
_DEFECT = "defect:"
"""Prefix of the number of a defect: an item that a stage could not handle."""
JobOrDelivery = Annotated[
    str, typer.Argument(metavar="ID", help=f"{_HELP}. The UID of a study: its waiting images are not forwarded.")
]
JobDeliveryOrStudy = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=f"{_HELP}. Also commitment:NUMBER (a storage commitment) and defect:NUMBER (an item that an "
        "unexpected error stopped). The UID of a study: one that is held, or has held or dead images.",
    ),
]


TakeNewest = Annotated[
    bool,
    typer.Option(
        "--take-newest",
        help="For a study that is held because it was sent again under another patient or order: use the newer images.",
    ),
]


def retry(
    what: JobDeliveryOrStudy,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    take_newest: TakeNewest = False,
    as_json: site.AsJson = False,
) -> None:
    """Run a job again, send a delivery now, or release a held study. The record says who asked for it.

    An ended job runs again as a new job that names the old one. Its result is a new result.
    A delivery is sent now, under the same UIDs, after a new identity check at the destination.
    A held study is released as it was first received. With --take-newest it is released as it was sent again: the
    corrected instances count, and the rules decide again.
    A storage commitment is decided again, by what is stored now, and reported.
    What an unexpected error stopped is tried again. A running node notices by itself.
    """
    ledger = site.open_ledger(site.known(config))
    with ledger.transaction() as database:
        told, plain = _retry(database, what, SystemClock().now(), site.person(), take_newest)
    _tell(told, plain, as_json)


def cancel(what: JobOrDelivery, config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """Stop a job that has no report yet, or a delivery that was not sent yet. The record says who asked for it."""
    ledger = site.open_ledger(site.known(config))
    plain: dict[str, Any]
    now, reason = SystemClock().now(), f"cancelled by {site.person()}"
    with ledger.transaction() as database:
        found = site.find_study(database, what) if _is_study(what) else _find(database, what)
        if isinstance(found, Study):
            uid = found.study_instance_uid
            count = forwards.cancel(database, now, uid, reason)
            if not count:
                raise NotFoundError(f"no image of study {uid} waits to be forwarded")
            told = f"{count} images of study {uid} are not forwarded"
            plain = {"study_instance_uid": uid, "status": "cancelled", "images": count}
        elif isinstance(found, Job):
            jobs.cancel(database, now, found.id, reason)
            told, plain = f"job {short(found.id)} is cancelled", {"job": found.id, "status": "cancelled"}
        elif isinstance(found, Notification):
            notifications.cancel(database, now, found.id, reason)
            told, plain = f"notification {found.id} is cancelled", {"notification": found.id, "status": "cancelled"}
        else:
            last = fallbacks.newest(database, found)
            deliveries.stop(database, now, last.id, DeliveryStatus.CANCELLED, reason)
            told = f"{_in_place_of(found, last)}delivery {last.id} is cancelled"
            plain = {"delivery": last.id, "status": "cancelled"}
    _tell(told, plain, as_json)


def _retry(database: Database, what: str, now: datetime, by: str, newest: bool) -> tuple[str, dict[str, Any]]:
    if _is_study(what):
        return _release(database, site.find_study(database, what), now, by, newest)
    if newest:
        raise UsageError("--take-newest is for a held study: name its UID")
    if what.startswith(commitments.NAME):
        return _commit_again(database, what.removeprefix(commitments.NAME), now, by)
    if what.startswith(_DEFECT):
        return _handle_again(database, what.removeprefix(_DEFECT), now, by)
    found = _find(database, what)
    if isinstance(found, Job):
        new = jobs.again(database, now, found.id, by)
        text = f"job {short(found.id)} is done again as job {short(new.id)} (round {new.round})"
        return text, {"job": new.id, "supersedes": found.id, "round": new.round, "status": new.status}
    if isinstance(found, Notification):
        notifications.again(database, now, found.id, by)
        defects.forget(database, f"{_NOTIFICATION}{found.id}")
        return f"notification {found.id} to {found.person} is sent now", {"notification": found.id, "status": "waiting"}
    identities.forget(database, found.study_instance_uid, found.destination)
    last = fallbacks.newest(database, found)
    if last != found and last.status is DeliveryStatus.DELIVERED:
        raise PermanentError(
            f"{_in_place_of(found, last)}which was delivered: the report would be there twice; "
            f"pacsnode retry {short(found.job or '')} makes the result again, in the class that is configured now"
        )
    again = deliveries.again(database, now, last.id, by)
    defects.forget(database, f"{_DELIVERY}{last.id}")
    return f"{_in_place_of(found, last)}delivery {again.id} to {again.destination} waits to be sent now", {
        "delivery": again.id,
        "destination": again.destination,
        "status": again.status,
    }


def _in_place_of(asked: Delivery, last: Delivery) -> str:
    """Says so where another delivery is meant than the one that was named."""
    return "" if last == asked else f"delivery {asked.id} was replaced by delivery {last.id}: "


def _commit_again(database: Database, number: str, now: datetime, by: str) -> tuple[str, dict[str, Any]]:
    if not number.isdecimal() or len(number) > 18:
        raise UsageError(f'"{number}" is not the number of a storage commitment, as `status` and `study` show it')
    again = requests.again(database, now, int(number), by, keep=FailureReason.DUPLICATE_TRANSACTION)
    defects.forget(database, f"{commitments.NAME}{again.id}")
    text = f"storage commitment {again.id} is decided again and reported to {again.requester}"
    return text, {"commitment": again.id, "requester": again.requester, "status": again.status}


def _handle_again(database: Database, number: str, now: datetime, by: str) -> tuple[str, dict[str, Any]]:
    if not number.isdecimal() or len(number) > 18:
        raise UsageError(f'"{number}" is not the number of a defect, as `status` shows it')
    found = defects.again(database, now, int(number), by)
    text = f"{found.stage} tries {found.item} again now"
    study = studies.get(database, found.study_instance_uid) if found.study_instance_uid else None
    if study is not None and study.hold is not None:
        text += f"\nits study stays held; release it when that is done: pacsnode retry {study.study_instance_uid}"
    return text, {"defect": found.id, "stage": found.stage, "item": found.item}


def _release(database: Database, study: Study, now: datetime, by: str, newest: bool) -> tuple[str, dict[str, Any]]:
    if study.hold is None and not newest:
        return _send_on(database, study, now, by)
    if study.hold is None:
        raise NotFoundError(f"study {study.study_instance_uid} is not held; name the job or the delivery to retry")
    if newest:
        if not corrections.take_newest(database, now, study.study_instance_uid):
            raise PermanentError(
                "not every instance of the study was sent again: taking the newer would mix two patients"
            )
        studies.reopened(database, now, study.study_instance_uid, now, f"{by} took the corrected instances")
    studies.unhold(database, now, study.study_instance_uid, by)
    images = 0 if newest else forwards.again(database, now, study.study_instance_uid, by)  # the newest are decided on
    stopped = [job.id for job in jobs.of_study(database, study.study_instance_uid) if job.status is JobStatus.CANCELLED]
    text = f"study {study.study_instance_uid} is released; it was held because: {study.hold}"
    if stopped:
        text += f"\njobs that were cancelled are done again by pacsnode retry: {', '.join(map(short, stopped))}"
    if images:
        text += f"\n{images} images that were held wait to be forwarded now"
    return text, {
        "study_instance_uid": study.study_instance_uid,
        "status": "released",
        "cancelled_jobs": stopped,
        "images": images,
    }


def _send_on(database: Database, study: Study, now: datetime, by: str) -> tuple[str, dict[str, Any]]:
    """Its held and dead images; NotFoundError where there is none."""
    uid = study.study_instance_uid
    images = forwards.again(database, now, uid, by)
    defects.study_changed(database, uid, Room.DELIVER)
    if not images:
        raise NotFoundError(f"study {uid} is not held, nor any image of it; name the job or the delivery to retry")
    return f"{images} images of study {uid} wait to be forwarded now", {"study_instance_uid": uid, "images": images}


def _is_study(what: str) -> bool:
    """Jobs and deliveries have no dot in their name; every UID has."""
    return "." in what or what.startswith("…")


def _find(database: Database, what: str) -> Job | Delivery | Notification:
    """The job, delivery or notification that `what` names; NotFoundError, UsageError where it could be several."""
    if what.startswith(_NOTIFICATION) and what.removeprefix(_NOTIFICATION).isdecimal():
        return notifications.get(database, int(what.removeprefix(_NOTIFICATION)))
    found: list[Job | Delivery] = []
    number = what.removeprefix(_DELIVERY)
    if number.isdecimal() and len(number) <= 18:
        with suppress(NotFoundError):
            found.append(deliveries.get(database, int(number)))
    if len(what) >= _SHORTEST_PREFIX and re.fullmatch(r"[0-9a-fA-F-]+", what):
        found += jobs.matching(database, what.lower())
    if not found and re.fullmatch(r"\w+", what) and studies.matching(database, what):
        raise UsageError(f'"{what}" is a study: to release a held one, name its UID, or … and the end of it')
    if not found:
        hint = f" (a job is named by at least {_SHORTEST_PREFIX} characters)" if len(what) < _SHORTEST_PREFIX else ""
        raise NotFoundError(f'there is no job and no delivery "{what}"{hint}')
    if len(found) > 1:
        names = ", ".join(f"job {each.id}" if isinstance(each, Job) else f"{_DELIVERY}{each.id}" for each in found)
        raise UsageError(f'"{what}" could be {names}: write one of these in full')
    return found[0]


def _tell(text: str, plain: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.as_json(plain)
    else:
        for line in text.splitlines():
            output.console().print(cell(line), soft_wrap=True)
