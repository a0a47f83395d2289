"""Which studies? By accession, patient, date, modality, rule, plugin, outcome and state; page by page."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.responses import Response

from node.clock import from_text, to_text
from node.console.page import PageRequest, PageRoute
from node.desk import search
from node.desk.rights import NotAllowedError, Right
from node.desk.search import NO_JOBS, OUTCOMES, STATES, StudyLine, StudyQuestion
from node.errors import UsageError

_A_PAGE = 50
_PERIODS = {"": None, "1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_TEXTS = ("accession", "patient", "date", "modality", "rule", "plugin", "outcome", "state")


async def _studies(page: PageRequest) -> Response:
    asked = {name: page.asked(name).strip() for name in (*_TEXTS, "since")}
    if asked["patient"] and not page.who.may(Right.SEE_PATIENT):
        raise NotAllowedError(f"{page.who.name} may not {Right.SEE_PATIENT}: search by accession number")
    period = _PERIODS.get(asked["since"])
    question = StudyQuestion(
        **{name: asked[name] for name in _TEXTS}, since=page.now - period if period is not None else None
    )
    after = _place(page.asked("after"))
    problem, lines, more = "", list[StudyLine](), False
    try:
        lines, more = await page.look(lambda _, ledger: search.search(ledger, question, _A_PAGE, after))
    except UsageError as error:  # names the option of the command, which is that of the field, too
        problem = str(error).removeprefix("--")
    rules = [rule.name for rule in page.in_force.configuration.rules]
    plugins = sorted({step.plugin for rule in page.in_force.configuration.rules for step in rule.run})
    return page.render(
        "studies.html",
        asked=asked,
        lines=lines,
        problem=problem,
        following=_following(asked, lines) if more else "",
        is_first=after is None,
        rules=rules,
        plugins=plugins,
        states=[*STATES],
        outcomes=[*OUTCOMES, NO_JOBS],
        periods=[*_PERIODS],
    )


def _place(text: str) -> tuple[datetime, str] | None:
    """What `_following` wrote; UsageError."""
    if not text:
        return None
    moment, _, uid = text.partition(" ")
    try:
        return from_text(moment), uid
    except ValueError:
        raise UsageError("this is not a place in a list of studies") from None


def _following(asked: dict[str, str], lines: list[StudyLine]) -> str:
    last = lines[-1].study
    after = f"{to_text(last.last_received_at)} {last.study_instance_uid}"
    return "/studies?" + urlencode({name: value for name, value in asked.items() if value} | {"after": after})


ROUTES = [PageRoute("/studies", _studies, Right.SEE_NODE)]
