"""Terms of a job: when it may start, which results are sent, until when, and who is notified of late ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from node.clock import from_text, to_text
from node.ledger.rows import to_json

Late = Literal["send", "notify", "withhold"]


@dataclass(frozen=True, slots=True)
class NoticeTerms:
    """Whom a rule tells of a result, on which occasions."""

    on: tuple[str, ...]
    """As the rule writes them: `findings`, `failure`, `not_analysed`, `late`; `match` is over when there is a job."""
    whom: tuple[str, ...]
    text: str = ""
    finding: Mapping[str, Any] | None = None
    """What a finding must be like (`rules.results.FindingCondition`); any where it is None."""
    within: float | None = None
    """Seconds within which somebody has to acknowledge."""
    then: tuple[str, ...] = ()
    """Who is notified where nobody does, one after the other."""

    def to_plain(self) -> dict[str, Any]:
        """As it is kept: only what is not the default."""
        plain: dict[str, Any] = {"on": list(self.on), "whom": list(self.whom)}
        for name in ("text", "finding", "within", "then"):
            if value := getattr(self, name):
                plain[name] = list(value) if isinstance(value, tuple) else value
        return plain

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> NoticeTerms:
        """The inverse."""
        lists = {name: tuple(plain.get(name, ())) for name in ("on", "whom", "then")}
        return cls(**{**plain, **lists})


@dataclass(frozen=True, slots=True)
class Terms:
    """As the rule said when the job was decided; a later change of the rule does not reach it."""

    send_when: tuple[str, ...] = ()
    """Outcomes that are sent; all where none is named."""
    expires_at: datetime | None = None
    """From then on the result is too late; never where it is None."""
    when_late: Late = "send"
    """`send`: anyway; `notify`: and tell `whom`; `withhold`: keep it here."""
    whom: tuple[str, ...] = ()
    """People of the configuration who are notified of findings that come too late."""
    text: str = ""
    """What the rule has to say to them."""
    hours: Mapping[str, Any] | None = None
    """`{"hours": …, "zone": …}`: when the job may start, as the rule says it; at any time where it is None."""

    notices: tuple[NoticeTerms, ...] = ()
    """Who else is notified, and of what."""

    def withholds(self, outcome: str) -> str | None:
        """Why a result of this outcome is not sent; None where it is."""
        if not self.send_when or outcome in self.send_when:
            return None
        return f"the rule sends only {', '.join(self.send_when)} (send_when); this is {outcome}"

    def is_late(self, at: datetime) -> bool:
        """Whether a result that comes at this moment comes too late."""
        return self.expires_at is not None and at >= self.expires_at

    def withholds_now(self, at: datetime) -> str | None:
        """Why a result is not sent any more at this moment; None where it is."""
        if self.expires_at is None or self.when_late != "withhold" or not self.is_late(at):
            return None
        return f"it comes too late: the rule lets results expire (expires), and this one did {to_text(self.expires_at)}"

    def to_text(self) -> str:
        """As it is kept in the job's row: only what is not the default."""
        plain: dict[str, object] = {}
        for name in ("send_when", "whom", "text"):
            if value := getattr(self, name):
                plain[name] = list(value) if isinstance(value, tuple) else value
        if self.expires_at is not None:
            plain |= {"expires_at": to_text(self.expires_at), "when_late": self.when_late}
        if self.hours is not None:
            plain["hours"] = dict(self.hours)
        if self.notices:
            plain["notices"] = [each.to_plain() for each in self.notices]
        return to_json(plain)


NO_TERMS = Terms()
"""Everything is sent, whenever it comes."""


def from_kept(kept: str) -> Terms:
    """The inverse of `Terms.to_text`."""
    plain = json.loads(kept)
    expires = plain.get("expires_at")
    return Terms(
        send_when=tuple(plain.get("send_when", ())),
        expires_at=from_text(expires) if expires else None,
        when_late=plain.get("when_late", "send"),
        whom=tuple(plain.get("whom", ())),
        text=plain.get("text", ""),
        hours=plain.get("hours"),
        notices=tuple(map(NoticeTerms.of_plain, plain.get("notices", ()))),
    )
