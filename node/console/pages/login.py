"""Logging in and out, and the language of pages."""

from __future__ import annotations

import time

import structlog
from starlette.responses import RedirectResponse, Response

from node.accounts import logins, sessions
from node.accounts.logins import LoginRefusedError, TooManyLoginsError
from node.console.page import PageRequest, PageRoute
from node.console.rendering import LANGUAGES
from node.console.safety import LOGIN, local_path
from node.console.visitor import address_of, drop_cookie, put_cookie
from node.desk import logins as desk
from node.desk.actor import Actor, ActorKind
from node.errors import UsageError

log = structlog.get_logger(__name__)
_SEE_OTHER = 303
_REFUSED = 401
_A_YEAR = 365 * 24 * 3600


async def _form(page: PageRequest) -> Response:
    if page.visitor is not None:
        return RedirectResponse(page.first, _SEE_OTHER)
    return page.render("login.html", next=local_path(page.asked("next")), name="", problem="")


async def _log_in(page: PageRequest) -> Response:
    sent = await page.public_form()
    name, password = str(sent.get("name", "")), str(sent.get("password", ""))
    wanted, address, now = local_path(sent.get("next")), address_of(page.http), page.now
    accounts, site = page.site.accounts, page.site
    try:
        token = await site.look_at_password(lambda: logins.log_in(accounts, name, password, time.time(), address))
    except LoginRefusedError as error:
        log.warning("console.login-refused", address=address, reason=str(error))
        if not isinstance(error, TooManyLoginsError):  # those would fill the ledger
            await site.record(lambda _, ledger: site.refused.record(ledger, accounts, name, now, address))
        return page.render("login.html", _REFUSED, next=wanted, name=name, problem=page.words(str(error)))
    if page.visitor is not None and page.visitor.session is not None:
        sessions.end(accounts, page.visitor.session)  # whoever was logged in here before
    user = Actor(ActorKind.USER, name.casefold())
    log.info("console.login", user=user.name, address=address)
    await site.record(lambda _, ledger: desk.logged_in(ledger, user, now, address))
    answer = RedirectResponse(wanted, _SEE_OTHER)
    put_cookie(answer, page.http, site.settings, token)
    return answer


async def _log_out(page: PageRequest) -> Response:
    sent = await page.form()
    by, now, everywhere = page.actor, page.now, bool(sent.get("everywhere"))
    if everywhere:
        sessions.end_all(page.site.accounts, page.who.name)
    elif page.who.session is not None:
        sessions.end(page.site.accounts, page.who.session)
    await page.site.record(lambda _, ledger: desk.logged_out(ledger, by, now, everywhere=everywhere))
    answer = RedirectResponse(LOGIN, _SEE_OTHER)
    drop_cookie(answer, page.http, page.site.settings)
    return answer


async def _choose_language(page: PageRequest) -> Response:
    sent = await page.public_form()
    language = str(sent.get("language"))
    if language not in LANGUAGES:
        raise UsageError(f"pages are in {' or '.join(LANGUAGES)}")
    answer = RedirectResponse(local_path(sent.get("back")), _SEE_OTHER)
    answer.set_cookie("pacsnode-language", language, max_age=_A_YEAR, samesite="lax", httponly=True, path="/")
    return answer


ROUTES = [
    PageRoute(LOGIN, _form, None, is_public=True),
    PageRoute(LOGIN, _log_in, None, ("POST",), is_public=True),
    PageRoute("/logout", _log_out, None, ("POST",)),
    PageRoute("/language", _choose_language, None, ("POST",), is_public=True),
]
