"""What a notification says: enough to know how urgent it is and to find it, and nothing that names the patient.

No text that a plugin or a modality wrote goes in: findings are named by the codes that the plugin's manifest declares,
of the study only its UID, date and modality, and the accession number where the site wants it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from node.ledger import decisions, facts, jobs, notices, notifications, studies
from node.ledger.database import Database
from node.ledger.escalations import Escalation
from node.ledger.job import Job
from node.ledger.notifications import Notification, Occasion
from node.ledger.studies import Study
from node.notify import alert_message
from node.notify.texts import Language, MessageTexts, texts_of
from node.notify.words import Message, moment

_MODALITY = re.compile(r"[A-Z][A-Z0-9_]{1,15}")
_DATE = re.compile(r"\d{8}")


def compose(
    database: Database,
    notification: Notification,
    node: str,
    zone: tzinfo,
    *,
    accession_number: bool,
    language: Language = "en",
) -> Message:
    """The message of a notification, from what the ledger holds of its study, job or alert; `node` is our AE title."""
    texts = texts_of(language)
    if notification.alert is not None:
        return alert_message.compose(database, notification, node, zone, texts, accession_number=accession_number)
    assert notification.study_instance_uid is not None, notification.id
    study = studies.get(database, notification.study_instance_uid)
    assert study is not None, notification.study_instance_uid
    job = jobs.get(database, notification.job) if notification.job else None
    findings = _findings(job) if notification.occasion in _WITH_FINDINGS else []
    parts = _Parts(texts, zone, notification)
    named = parts.study(database, study, accession_number=accession_number)
    parts.lines += [(texts.finding, _in_words(each, texts)) for each in findings]
    if job is not None:
        parts.job(job)
    parts.rest(database, node)
    urgent = any(each["urgent"] for each in findings)
    headline = f"{texts.urgent if urgent else ''}{texts.headlines[notification.occasion]}"
    text = text_of(database, notification)
    plain = parts.plain | {"node": node, "headline": headline, "urgent": urgent, "text": text, "findings": findings}
    said = "\n\n".join(each for each in (text, texts.notified_because.get(notification.occasion)) if each)
    return Message(notification.key, f"{headline} ({named})", tuple(parts.lines), said, plain)


_WITH_FINDINGS = (Occasion.FINDINGS, Occasion.LATE, Occasion.MATCH, Occasion.WAIT_OVER)
"""A message that takes back what was said does not say it again."""


class _Parts:
    """What a message says line by line, and the same for machines."""

    def __init__(self, texts: MessageTexts, zone: tzinfo, about: Notification) -> None:
        self._texts, self._zone, self._about = texts, zone, about
        self.lines: list[tuple[str, str]] = []
        self.plain: dict[str, Any] = {
            "id": about.key,
            "notification": about.id,
            "occasion": about.occasion,
            "rule": about.rule,
            "study_instance_uid": about.study_instance_uid,
            "job": about.job,
        }

    def study(self, database: Database, study: Study, *, accession_number: bool) -> str:
        """Which study; how the headline names it."""
        texts, uid = self._texts, study.study_instance_uid
        modality, date = _modality(database, uid), _study_date(database, uid, study.revision)
        what = modality or texts.a_study
        named = texts.named.format(modality=what, date=date) if date else what
        self.plain |= {"modality": modality, "study_date": date}
        self.lines += [(texts.study, named), (texts.study_uid, uid)]
        if accession_number and study.accession_number:
            self.plain["accession_number"] = study.accession_number
            self.lines.append((texts.accession_number, study.accession_number))
        return named

    def job(self, job: Job) -> None:
        """Who made the result, in which mode, and when."""
        texts = self._texts
        algorithm = job.algorithm or {}
        name = " ".join(str(algorithm[key]) for key in ("name", "version") if algorithm.get(key)) or job.plugin
        self.plain |= {"made_by": {"ai": True, "verified": False, "algorithm": name}, "mode": job.mode}
        self.lines += [(texts.made_by, texts.ai.format(name)), (texts.mode, texts.modes.get(job.mode, job.mode))]
        if job.finished_at is not None:
            complete, made = (moment(each, self._zone) for each in (job.images_complete_at, job.finished_at))
            self.plain |= {"images_complete_at": complete, "result_made_at": made}
            self.lines += [(texts.images_complete, complete), (texts.result_made, made)]

    def rest(self, database: Database, node: str) -> None:
        """Why, by what, and what is wanted of the person."""
        texts, about = self._texts, self._about
        if reason := about.detail.get("reason"):
            self.plain["reason"] = reason
            self.lines.append((texts.reason, str(reason)))
        if newer := about.detail.get("by_job"):
            outcome = str(jobs.get(database, newer).outcome)
            self.plain |= {"newer_job": newer, "newer_outcome": outcome}
            self.lines.append((texts.newer, f"{texts.outcomes[outcome]} ({newer})"))
        if before := notices.replaced(database, about):
            self.plain["replaces"] = before.id
            self.lines.append((texts.replaces, texts.of_node.format(number=before.id, node=node)))
        if wrong := notices.taken_back(database, about):
            self.plain["takes_back"] = wrong.id
            self.lines.append((texts.takes_back, texts.of_node.format(number=wrong.id, node=node)))
        if about.escalated_from is not None:
            unheard = notifications.get(database, about.escalated_from)
            said = texts.nobody_did.format(number=unheard.id, person=unheard.person)
            self.lines.append((texts.acknowledged_before, said))
        if about.escalation is not None and about.escalate_at is not None:
            self._acknowledge(about.escalation, about.escalate_at)
        self.lines += [(texts.rule, about.rule)] if about.rule else []
        self.lines += [(texts.job, about.job)] if about.job else []
        if about.error == notifications.INTERRUPTED:
            self.lines.append((texts.notification, texts.perhaps_twice))
        self.lines.append((texts.notification, texts.of_node.format(number=about.id, node=node)))

    def _acknowledge(self, escalation: Escalation, until: datetime) -> None:
        texts, about = self._texts, self._about
        when = moment(until, self._zone)
        how = texts.how if escalation.then else texts.how_last
        person = escalation.then[0] if escalation.then else ""
        self.plain["acknowledge"] = {"until": when, "then": list(escalation.then)}
        self.lines.append((texts.acknowledge, how.format(until=when, person=person, number=about.id)))


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
        return _of_job(jobs.get(database, notification.job), notification)
    rule = decisions.rule_of(database, notification.decision) if notification.decision else None
    said = (rule or {}).get("wait") if notification.occasion is Occasion.WAIT_OVER else rule
    told = (said or {}).get("notify") or ()
    word = notices.WORDS.get(notification.occasion, "")
    for each in [told] if isinstance(told, Mapping) else told:  # rules of earlier releases have one
        named = [*each.get("whom", ()), *each.get("then", ())]
        if word in each.get("on", (word,)) and (not named or notification.person in named):
            return str(each.get("text", ""))
    return ""


def _of_job(job: Job, notification: Notification) -> str:
    """Of what is late, the rule says it in either place."""
    said = notices.text_of(job, notification.occasion, notification.person)
    return said or (job.terms.text if notification.occasion is Occasion.LATE else "")


def _findings(job: Job | None) -> list[dict[str, Any]]:
    """What the job's result found or measured, by code; not what it looked for and did not find."""
    kept = (job.found or {}).get("findings", ()) if job else ()
    return [
        {
            "finding": each["code"][2],
            "code": f"{each['code'][1]}:{each['code'][0]}",
            "urgent": each["urgent"],
            "score": each.get("score"),
            "measurements": [
                {"measurement": one["concept"][2], "value": one["value"], "unit": one.get("unit", "")}
                for one in each["measurements"]
                if one["value"] is not None
            ],
        }
        for each in kept
        if each["present"] is not False
    ]


def _in_words(finding: Mapping[str, Any], texts: MessageTexts) -> str:
    measured = [
        f"{each['measurement']} {each['value']:g}{'' if each['unit'] in ('', '1') else ' ' + each['unit']}"
        for each in finding["measurements"]
    ]
    sure = "" if finding["score"] is None else f", {finding['score']:g}"
    return "; ".join([f"{finding['finding']}{sure}{texts.is_urgent if finding['urgent'] else ''}", *measured])


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
