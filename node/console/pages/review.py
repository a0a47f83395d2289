"""What waits for a person? Each question, what each answer will do, and the answer itself."""

from __future__ import annotations

import shlex
from urllib.parse import urlencode

from starlette.responses import Response

from node.clock import SystemClock
from node.config.in_force import InForce
from node.console.page import PageRequest, PageRoute
from node.console.reader import Ledger
from node.desk import bulk, carrying_out, handbook, review, viewing
from node.desk.carrying_out import AnswerTask, AnswerWords
from node.desk.outcomes import ActionOutcome
from node.desk.review import Review
from node.desk.rights import Right
from node.errors import UsageError

PATH = "/review"
_A_PAGE = 25


async def _review(page: PageRequest) -> Response:
    study = page.asked("study")
    after = page.asked("after") or None
    found = await page.look(lambda in_force, ledger: _look(in_force, ledger, study, after))
    return _shown(page, found, study, compare=False)


def _look(in_force: InForce, ledger: Ledger, study: str, after: str | None = None) -> Review:
    return review.look(ledger, in_force.configuration, limit=_A_PAGE, after=after, study=study or None)


def _shown(page: PageRequest, found: Review, study: str, *, compare: bool) -> Response:
    values = {"study": study, "after": found.after or ""}
    following = f"{PATH}?{urlencode({name: value for name, value in values.items() if value})}" if found.after else ""
    back = f"{PATH}?{urlencode({'study': study})}" if study else PATH
    words = {each.command: carrying_out.read(each.command) for item in found.items for each in item.answers}
    return page.render(
        "review.html",
        items=found.items,
        words=words,
        joined=shlex.join,
        study=study,
        following=following,
        is_first=not page.asked("after"),
        compare=compare,
        back=back,
    )


async def _compare(page: PageRequest) -> Response:
    """Patient and order as this node and as a destination have them: for this once, and on record."""
    sent = await page.form()
    study = str(sent.get("study", ""))
    if not study:
        raise UsageError("name the study whose patient is to be compared")
    found = await page.look(lambda in_force, ledger: _look(in_force, ledger, study))
    actor, at = page.actor, page.now
    shown = {each.study_instance_uid for each in found.items if each.both is not None}

    def record(_: InForce, ledger: Ledger) -> None:
        for uid in shown:
            if uid is not None:
                viewing.viewed(ledger, uid, actor, at)

    await page.site.reader.act(record)
    return _shown(page, found, study, compare=True)


async def _answer(page: PageRequest) -> Response:
    """Carry out an answer; one about many is shown first, with how many that is."""
    sent = await page.form()
    command, back = str(sent.get("command", "")), str(sent.get("back", PATH))
    words = _words(command)
    if words.is_of_many and not sent.get("seen"):
        return await _dry_run(page, command, words, back)
    given = AnswerTask(words, str(sent.get("why", "")), SystemClock().now, page.actor, _number(sent.get("seen")))
    return await page.act(lambda in_force, ledger: carrying_out.carry_out(ledger, in_force.configuration, given), back)


async def _dry_run(page: PageRequest, command: str, words: AnswerWords, back: str) -> Response:
    def found(in_force: InForce, ledger: Ledger) -> tuple[int, ActionOutcome]:
        many = carrying_out.found_by(ledger, in_force.configuration, words)
        return many.count, bulk.described(many)

    count, about = await page.look(found)
    return page.render("review_many.html", command=command, count=count, about=about.sentence, back=back)


def _words(command: str) -> AnswerWords:
    try:
        return carrying_out.read(shlex.split(command))
    except ValueError:  # quotes that are not closed
        raise UsageError("review gives no such answer") from None


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < len("1000000000") else None


async def _handbook(page: PageRequest) -> Response:
    kind = page.part("kind")
    return page.render("handbook.html", kind=kind, blocks=handbook.blocks_of(kind))


ROUTES = [
    PageRoute(PATH, _review, Right.SEE_NODE),
    PageRoute(f"{PATH}/compare", _compare, Right.SEE_PATIENT, ("POST",)),
    PageRoute(f"{PATH}/answer", _answer, Right.ACT, ("POST",)),
    PageRoute("/handbook/{kind}", _handbook, Right.SEE_NODE),
]
