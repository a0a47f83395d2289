"""Changing a file of the configuration: checked while it is typed, tried on the last studies, and put live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from node.accounts import drafts
from node.accounts.drafts import FileDraft
from node.console import children
from node.console.drawing import picture
from node.console.page import PageRequest, PageRoute
from node.console.reader import why_not
from node.desk import completion, configuration_files
from node.desk import drafts as checking
from node.desk.configuration_files import ConfigurationFile, FileEdit, FileText
from node.desk.drafts import DraftCheck, DraftProblem, DraftText, DraftTrial
from node.desk.replay import DraftChange, ReplayResult
from node.desk.rights import NotAllowedError, Right
from node.errors import NodeError, UsageError

_CHECK_SECONDS, _TRIAL_SECONDS, _WORD_SECONDS = 20.0, 60.0, 60.0
_DAYS = ("1", "7", "30")
_MOST_BYTES = 4 * 2**20
"""Of a form with a text: each letter of it may take three."""
_SHOWN = 200
_BAD = 400
_known_words: dict[str, str] = {}
"""Of the language, once they were asked for."""


@dataclass(frozen=True, slots=True)
class EditedText:
    """What an editor shows."""

    file: ConfigurationFile
    base: str
    """The digest of the text that it was made from."""
    text: str
    kept: bool
    """As a draft."""


async def _editor(page: PageRequest) -> Response:
    file = configuration_files.named(page.in_force, page.asked("file"))
    now = configuration_files.read(file)
    draft = drafts.get(page.site.accounts, page.who.name, file.name)
    shown = EditedText(file, now.digest, now.text, kept=False)
    if draft is not None and page.site.settings.edit:
        shown = EditedText(file, draft.base, draft.text, kept=True)
    number = page.asked("version")
    if number.isdecimal() and page.site.settings.edit:
        text = await page.look(lambda _, ledger: configuration_files.earlier_text(ledger, file, int(number)))
        shown = EditedText(file, now.digest, text, kept=False)
    return await _shown(page, shown, now)


async def _changed(page: PageRequest) -> Response:
    """What the buttons do, and what is done while somebody types: check, try, live or discard."""
    edited, what, days = await _sent(page)
    if what == "discard":
        drafts.forget(page.site.accounts, page.who.name, edited.file.name)
        return page.go(_address(edited.file), "ok", page.words("The draft is discarded."))
    now = configuration_files.read(edited.file)
    if what == "try":
        return await _tried(page, edited, now, days)
    check = await _checked(page, edited)
    if what == "live" and not check.problems:
        return await _put_live(page, edited, check)
    return await _shown(page, edited, now, check=check, refused=what == "live")


async def _checked(page: PageRequest, edited: EditedText) -> DraftCheck:
    """What is wrong with it; that it cannot be checked is a problem, too."""
    try:
        return await children.call(checking.check, _draft(page, edited), _CHECK_SECONDS)
    except NodeError as error:
        return DraftCheck([DraftProblem(edited.file.name, 0, 0, "", str(error), "")])


async def _tried(page: PageRequest, edited: EditedText, now: FileText, days: str) -> Response:
    trial = DraftTrial(_draft(page, edited), timedelta(days=int(days)), page.now)
    try:
        tried = await children.call(checking.try_on, trial, _TRIAL_SECONDS, heavy=True)
    except NodeError as error:
        why = f"{error}; `pacsnode replay` does it however long it takes"
        return await _shown(page, edited, now, days=days, problem=why)
    if isinstance(tried, ReplayResult):
        return await _shown(page, edited, now, trial=tried, days=days)
    return await _shown(page, edited, now, check=tried, days=days)


async def _put_live(page: PageRequest, edited: EditedText, check: DraftCheck) -> Response:
    if check.serious and not page.who.is_confirmed:
        return page.go(f"/confirm?{urlencode({'next': _address(edited.file)})}")
    edit, by, at = FileEdit(edited.file, edited.base, edited.text), page.actor, page.now
    try:
        done = await page.site.reader.act(lambda _, ledger: configuration_files.write(ledger, edit, at, by))
    except (NodeError, OSError) as error:
        now = configuration_files.read(edited.file)
        return await _shown(page, edited, now, check=check, problem=why_not(error))
    drafts.forget(page.site.accounts, page.who.name, edited.file.name)
    return page.go("/rules", "ok", done.sentence)


async def _sent(page: PageRequest) -> tuple[EditedText, str, str]:
    """The form; its text is kept as the visitor's draft. NotAllowedError where the console is not to edit."""
    if not page.site.settings.edit:
        raise NotAllowedError("the configuration is not changed in the console here (console.edit: false)")
    if int(page.http.headers.get("Content-Length") or _MOST_BYTES + 1) > _MOST_BYTES:
        raise UsageError("this is larger than a file of the configuration may be")
    sent = await page.form()
    file = configuration_files.named(page.in_force, str(sent.get("file", "")))
    text = str(sent.get("text", "")).replace("\r\n", "\n")
    text = text if not text or text.endswith("\n") else f"{text}\n"
    base, what, days = str(sent.get("base", "")), str(sent.get("do", "check")), str(sent.get("days", "7"))
    if days not in _DAYS:
        raise UsageError(f"a draft is tried on the last {', '.join(_DAYS)} days")
    draft = FileDraft(page.who.name, file.name, base, text, page.now)
    kept = what != "discard" and drafts.keep(page.site.accounts, draft)
    return EditedText(file, base, text, kept), what, days


def _draft(page: PageRequest, edited: EditedText) -> DraftText:
    running = page.in_force
    file = edited.file
    return DraftText(running.path, file.path, file.name, edited.text, running.value, running.folder)


async def _shown(
    page: PageRequest,
    edited: EditedText,
    now: FileText,
    *,
    check: DraftCheck | None = None,
    trial: ReplayResult | None = None,
    days: str = "7",
    refused: bool = False,
    problem: str = "",
) -> Response:
    file = edited.file
    lines = {each.line for each in check.problems if each.file == file.name} if check else set()
    changes = trial.done.differences if trial else ()
    return page.render(
        "rule_editor.html",
        200 if not (refused or problem) else _BAD,
        edited=edited,
        check=check,
        lines=lines,
        picture=picture(check.pipeline) if check and check.pipeline else None,
        is_stale=edited.base != now.digest,
        is_replaceable=configuration_files.is_replaceable(file),
        versions=await page.look(lambda _, ledger: configuration_files.versions(ledger, file)),
        trial=trial,
        changes={change: [each for each in changes if each.change is change][:_SHOWN] for change in DraftChange},
        days=days,
        every_days=_DAYS,
        refused=refused,
        problem=problem,
        edit=page.site.settings.edit,
        is_part="HX-Request" in page.http.headers,
    )


def _address(file: ConfigurationFile) -> str:
    return f"/rules/edit?{urlencode({'file': file.name})}"


async def _words(page: PageRequest) -> Response:
    """What can be completed: word → what it is."""
    if not _known_words:
        _known_words.update(await children.call(completion.of_language, None, _WORD_SECONDS))
    return JSONResponse({**_known_words, **completion.of_site(page.in_force.configuration)})


ROUTES = [
    PageRoute("/rules/edit", _editor, Right.CHANGE_RULES),
    PageRoute("/rules/edit", _changed, Right.CHANGE_RULES, ("POST",)),
    PageRoute("/rules/words", _words, Right.CHANGE_RULES),
]
