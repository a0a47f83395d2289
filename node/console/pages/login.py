"""Logging in and out, and the language of pages."""

from __future__ import annotations

import asyncio
import time

import structlog
from starlette.responses import RedirectResponse, Response

from node.accounts import logins, sessions
from node.accounts.logins import LoginRefusedError
from node.console.page import PageRequest, PageRoute
from node.console.rendering import LANGUAGES
from node.console.safety import LOGIN, local_path
from node.console.visitor import address_of, cookie_name
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
    sent = await page.http.form(max_fields=10)
    name, password = str(sent.get("name", "")), str(sent.get("password", ""))
    wanted, address = local_path(sent.get("next")), address_of(page.http)
    accounts, settings = page.site.accounts, page.site.settings
    try:
        token = await asyncio.to_thread(logins.log_in, accounts, name, password, time.time(), address)
    except LoginRefusedError as error:
        log.warning("console.login-refused", address=address, reason=str(error))
        return page.render("login.html", _REFUSED, next=wanted, name=name, problem=page.words(str(error)))
    log.info("console.login", user=name.casefold(), address=address)
    answer = RedirectResponse(wanted, _SEE_OTHER)
    answer.set_cookie(
        cookie_name(settings), token, httponly=True, samesite="lax", secure=settings.tls is not None, path="/"
    )
    return answer


async def _log_out(page: PageRequest) -> Response:
    await page.form()
    if page.who.session is not None:
        sessions.end(page.site.accounts, page.who.session)
    answer = RedirectResponse(LOGIN, _SEE_OTHER)
    answer.delete_cookie(cookie_name(page.site.settings), path="/", secure=page.site.settings.tls is not None)
    return answer


async def _choose_language(page: PageRequest) -> Response:
    sent = await page.http.form(max_fields=10)
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
