"""What notifications say, in each language; the site chooses one (`notify.language`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from node.ledger.alert_kinds import AlertKind
from node.ledger.notifications import Occasion
from node.notify.alert_sentences import KOREAN

Language = Literal["en", "ko"]


@dataclass(frozen=True, slots=True)
class MessageTexts:
    """The catalogue of one language; a text that one of them lacks is a type error."""

    headlines: Mapping[Occasion, str]
    urgent: str
    """Before a headline."""
    is_urgent: str
    """Behind a finding."""
    notified_because: Mapping[Occasion, str]
    """What to make of it, where the headline does not say so."""
    study: str
    study_uid: str
    accession_number: str
    finding: str
    images_complete: str
    result_made: str
    rule: str
    job: str
    made_by: str
    ai: str
    """An AI made it; `{}` is its name and version."""
    mode: str
    modes: Mapping[str, str]
    newer: str
    outcomes: Mapping[str, str]
    replaces: str
    takes_back: str
    notification: str
    of_node: str
    """`{number}` of `{node}`."""
    reason: str
    acknowledge: str
    how: str
    """How to acknowledge `{number}` by `{until}`, and that `{person}` is notified otherwise."""
    how_last: str
    """The same where nobody is left to be notified."""
    nobody_did: str
    """Nobody acknowledged `{number}` to `{person}`."""
    acknowledged_before: str
    a_study: str
    """A study of no known modality."""
    named: str
    """`{modality}` of `{date}`."""
    alert: str
    severity: str
    severities: Mapping[str, str]
    place: str
    since: str
    until: str
    times: str
    owner: str
    cause: str
    what_to_do: str
    alike: str
    """What this and other alerts have in common."""
    alike_open: str
    """How many there are: `{count}` of `{cause}`."""
    alike_over: str
    """None of `{cause}` is left."""
    sentences: Mapping[AlertKind, str]
    """What each kind of alert is."""
    was: str
    """It is over; `{sentence}` is what was said while it lasted."""
    more_alerts: str
    """`{begun}` began and `{ended}` ended that are not told one by one."""
    perhaps_twice: str


EN = MessageTexts(
    headlines={
        Occasion.MATCH: "A study that you want to know of",
        Occasion.WAIT_OVER: "Images that are awaited have not come",
        Occasion.LATE: "A finding that came late",
        Occasion.FINDINGS: "An AI finding, not verified",
        Occasion.FAILURE: "There is no AI result: the analysis failed",
        Occasion.NOT_ANALYSED: "A study was not analysed by AI",
        Occasion.SUPERSEDED: "A newer AI result replaces one that you were notified of",
        Occasion.WITHDRAWN: "An AI result that you were notified of does not stand",
        Occasion.ALERT_BEGINS: "Alert",
        Occasion.ALERT_LASTS: "Still open",
        Occasion.ALERT_ENDS: "Over",
        Occasion.MORE_ALERTS: "More alerts than are sent one by one",
    },
    urgent="URGENT: ",
    is_urgent=" (URGENT)",
    notified_because={
        Occasion.FAILURE: "Read the study as if there were no AI: no result is not a negative result.",
        Occasion.NOT_ANALYSED: "Read the study as if there were no AI: no result is not a negative result.",
        Occasion.SUPERSEDED: "Do not act on the earlier message any more: look at the newer result.",
        Occasion.WITHDRAWN: "Do not act on the earlier message any more.",
    },
    study="Study",
    study_uid="Study UID",
    accession_number="Accession number",
    finding="Finding",
    images_complete="Images complete",
    result_made="Result made",
    rule="Rule",
    job="Job",
    made_by="Made by",
    ai="AI ({}); no person has verified it",
    mode="Mode",
    modes={
        "shadow": "shadow: for evaluation, not for readers",
        "pilot": "pilot: investigational, not for diagnosis",
        "clinical": "clinical",
    },
    newer="Newer result",
    outcomes={
        "findings": "findings",
        "no_findings": "no findings",
        "not_applicable": "not applicable",
        "failed": "failed",
    },
    replaces="Replaces",
    takes_back="Takes back",
    notification="Notification",
    of_node="{number} of {node}",
    reason="Reason",
    acknowledge="Acknowledge",
    how="until {until}, or {person} is notified: on the node, pacsnode ack notification:{number}",
    how_last="until {until}, or it becomes an alert: on the node, pacsnode ack notification:{number}",
    nobody_did="nobody acknowledged notification {number} to {person}",
    acknowledged_before="Escalated",
    a_study="study",
    named="{modality} of {date}",
    alert="Alert",
    severity="Severity",
    severities={"warning": "warning", "critical": "CRITICAL"},
    place="About",
    since="Since",
    until="Over since",
    times="Times",
    owner="Owner",
    cause="Details",
    what_to_do="What to do",
    alike="Same cause",
    alike_open="{count} alerts ({cause}), this one included; acknowledging one acknowledges all: pacsnode alerts",
    alike_over="all of them are over ({cause})",
    sentences={kind: kind.sentence for kind in AlertKind},
    was="This alert is over; nothing has to be done about it any more. What it said while it lasted: {sentence}",
    more_alerts=(
        "{begun} more alerts began and {ended} ended that are not sent one by one, so that this mailbox stays readable."
        " All of them: pacsnode alerts"
    ),
    perhaps_twice="The node stopped while it sent this: it may have reached you before, under the same Message-ID.",
)
KO = MessageTexts(
    headlines={
        Occasion.MATCH: "알림을 요청하신 검사가 도착했습니다",
        Occasion.WAIT_OVER: "기다리던 영상이 도착하지 않았습니다",
        Occasion.LATE: "늦게 도착한 결과",
        Occasion.FINDINGS: "AI 소견 (확인되지 않음)",
        Occasion.FAILURE: "AI 결과 없음: 분석에 실패했습니다",
        Occasion.NOT_ANALYSED: "AI로 분석되지 않은 검사",
        Occasion.SUPERSEDED: "알려 드린 AI 결과가 새 결과로 대체되었습니다",
        Occasion.WITHDRAWN: "알려 드린 AI 결과는 더 이상 유효하지 않습니다",
        Occasion.ALERT_BEGINS: "경보",
        Occasion.ALERT_LASTS: "경보 지속",
        Occasion.ALERT_ENDS: "경보 해제",
        Occasion.MORE_ALERTS: "개별로 보내지 않은 추가 경보",
    },
    urgent="긴급: ",
    is_urgent=" (긴급)",
    notified_because={
        Occasion.FAILURE: "AI가 없는 것으로 보고 판독하십시오. 결과 없음은 음성 결과가 아닙니다.",
        Occasion.NOT_ANALYSED: "AI가 없는 것으로 보고 판독하십시오. 결과 없음은 음성 결과가 아닙니다.",
        Occasion.SUPERSEDED: "이전 알림에 따라 조치하지 마시고 새 결과를 확인하십시오.",
        Occasion.WITHDRAWN: "이전 알림에 따라 조치하지 마십시오.",
    },
    study="검사",
    study_uid="검사 UID",
    accession_number="접수 번호",
    finding="소견",
    images_complete="영상 수신 완료",
    result_made="결과 생성",
    rule="규칙",
    job="작업",
    made_by="작성",
    ai="AI ({}); 사람이 확인하지 않았습니다",
    mode="모드",
    modes={
        "shadow": "shadow: 평가용이며 판독용이 아닙니다",
        "pilot": "pilot: 연구용이며 진단용이 아닙니다",
        "clinical": "clinical: 임상용",
    },
    newer="새 결과",
    outcomes={
        "findings": "소견 있음",
        "no_findings": "소견 없음",
        "not_applicable": "해당 없음",
        "failed": "실패",
    },
    replaces="대체 대상",
    takes_back="취소 대상",
    notification="알림",
    of_node="{node} {number}번",
    reason="사유",
    acknowledge="확인 요청",
    how="{until}까지 확인이 없으면 {person}에게 알립니다. 노드에서: pacsnode ack notification:{number}",
    how_last="{until}까지 확인이 없으면 경보가 됩니다. 노드에서: pacsnode ack notification:{number}",
    nobody_did="{person}에게 보낸 {number}번 알림을 아무도 확인하지 않았습니다",
    acknowledged_before="상향 알림",
    a_study="검사",
    named="{date} {modality}",
    alert="경보",
    severity="심각도",
    severities={"warning": "주의", "critical": "심각"},
    place="대상",
    since="시작",
    until="해제",
    times="횟수",
    owner="담당자",
    cause="상세",
    what_to_do="조치",
    alike="같은 원인",
    alike_open="이 경보를 포함하여 {count}건 ({cause}). 하나를 확인하면 모두 확인됩니다: pacsnode alerts",
    alike_over="모두 해제되었습니다 ({cause})",
    sentences=KOREAN,
    was="이 경보는 해제되었으며 더 이상 조치할 것이 없습니다. 경보 당시의 내용: {sentence}",
    more_alerts="개별로 보내지 않은 경보가 시작 {begun}건, 해제 {ended}건 더 있습니다. 전체 목록: pacsnode alerts",
    perhaps_twice="전송 중 노드가 중단되어 같은 Message-ID로 이미 받으셨을 수 있습니다.",
)
_TEXTS: Mapping[Language, MessageTexts] = {"en": EN, "ko": KO}


def texts_of(language: Language) -> MessageTexts:
    """The catalogue of a language."""
    return _TEXTS[language]
