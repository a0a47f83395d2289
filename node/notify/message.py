"""What a notification says: enough to know how urgent it is and to find it, and nothing that names the patient.

No text that a plugin or a modality wrote goes in: findings are named by the codes that the plugin's manifest declares,
of the study only its date and modality, and the accession number where the site wants it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from node.ledger import decisions, facts, jobs, studies
from node.ledger.database import Database
from node.ledger.job import Job
from node.ledger.notifications import Notification, Occasion

_HEADLINES = {
    Occasion.MATCH: "A study that you want to know of",
    Occasion.WAIT_OVER: "Images that are awaited have not come",
    Occasion.LATE: "A finding that came late",
}
_MODALITY = re.compile(r"[A-Z][A-Z0-9_]{1,15}")
_DATE = re.compile(r"\d{8}")


@dataclass(frozen=True, slots=True)
class Message:
    """One notification in words and in values."""

    key: str
    """The same for each attempt, so that whoever gets it twice can tell."""
    subject: str
    lines: tuple[tuple[str, str], ...]
    """(what, value), in the order in which they are written."""
    text: str
    """What the rule has to say."""
    plain: Mapping[str, Any]
    """The same for machines, JSON-able."""

    @property
    def body(self) -> str:
        """As a person reads it."""
        width = max(len(what) for what, _ in self.lines)
        told = "\n".join(f"{what:<{width}}  {value}" for what, value in self.lines)
        return f"{self.text}\n\n{told}\n" if self.text else f"{told}\n"


def compose(
    database: Database, notification: Notification, node: str, zone: tzinfo, *, accession_number: bool
) -> Message:
    """The message of a notification, from what the ledger holds of its study and job; `node` is our AE title."""
    study = studies.get(database, notification.study_instance_uid)
    assert study is not None, notification.study_instance_uid
    job = jobs.get(database, notification.job) if notification.job else None
    text = text_of(database, notification)
    findings = _findings(job)
    urgent = any(each["urgent"] for each in findings)
    modality = _modality(database, study.study_instance_uid)
    date = _study_date(database, study.study_instance_uid, study.revision)
    named = " of ".join(each for each in (modality or "study", date) if each)
    headline = f"{'URGENT: ' if urgent else ''}{_HEADLINES[notification.occasion]}"
    plain = {
        "id": notification.key,
        "notification": notification.id,
        "node": node,
        "occasion": notification.occasion,
        "headline": headline,
        "urgent": urgent,
        "text": text,
        "rule": notification.rule,
        "modality": modality,
        "study_date": date,
        "job": job.id if job else None,
        "findings": findings,
    }
    lines = [("Study", named)]
    if accession_number and study.accession_number:
        plain["accession_number"] = study.accession_number
        lines.append(("Accession number", study.accession_number))
    lines += [("Finding", _in_words(each)) for each in findings]
    if job is not None and job.finished_at is not None:
        complete, made = (_moment(each, zone) for each in (job.images_complete_at, job.finished_at))
        plain |= {"images_complete_at": complete, "result_made_at": made}
        lines += [("Images complete", complete), ("Result made", made)]
    lines += [("Rule", notification.rule)] if notification.rule else []
    lines += [("Job", job.id)] if job else []
    lines.append(("Notification", f"{notification.id} of {node}"))
    return Message(notification.key, f"{headline} ({named})", tuple(lines), text, plain)


def trial(key: str, node: str) -> Message:
    """What `pacsnode notify` sends: about nobody."""
    text = f"This is a test: {node} can tell you what it finds. Nothing has to be done."
    plain = {"id": key, "node": node, "occasion": "test", "headline": "A test", "urgent": False, "text": text}
    return Message(key, "A test", (("From", node),), text, plain)


def text_of(database: Database, notification: Notification) -> str:
    """What the rule has to say, in the version that decided."""
    if notification.text is not None:
        return notification.text
    if notification.job is not None:
        return jobs.get(database, notification.job).terms.text
    rule = decisions.rule_of(database, notification.decision) if notification.decision else None
    said = rule if notification.occasion is Occasion.MATCH else (rule or {}).get("wait")
    told = (said or {}).get("notify") or {}
    return str(told.get("text", ""))


def _findings(job: Job | None) -> list[dict[str, Any]]:
    """What the job's result found or measured, by code; not what it looked for and did not find."""
    kept = (job.found or {}).get("findings", ()) if job else ()
    return [
        {
            "finding": each["code"][2],
            "code": f"{each['code'][1]}:{each['code'][0]}",
            "urgent": each["urgent"],
            "measurements": [
                {"measurement": one["concept"][2], "value": one["value"], "unit": one.get("unit", "")}
                for one in each["measurements"]
                if one["value"] is not None
            ],
        }
        for each in kept
        if each["present"] is not False
    ]


def _in_words(finding: Mapping[str, Any]) -> str:
    measured = [
        f"{each['measurement']} {each['value']:g}{'' if each['unit'] in ('', '1') else ' ' + each['unit']}"
        for each in finding["measurements"]
    ]
    return "; ".join([f"{finding['finding']}{' (URGENT)' if finding['urgent'] else ''}", *measured])


def _modality(database: Database, study: str) -> str:
    """`CT`, `MG+SR`; only words that can be a modality, whatever a header says."""
    found = {each.modality for each in studies.series_of(database, study) if each.instances}
    return "+".join(sorted(each for each in found if _MODALITY.fullmatch(each)))


def _study_date(database: Database, study: str, revision: int) -> str | None:
    """ISO 8601; None where the header has none, or not a date."""
    for series in facts.columns_of_study(database, study, revision, facts.NEWEST):
        packed = series.packed("StudyDate")
        for _, values in facts.unpacked(packed)[0] if packed else ():
            if values and _DATE.fullmatch(str(values[0])):
                text = str(values[0])
                return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return None


def _moment(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).isoformat(sep=" ", timespec="seconds")
