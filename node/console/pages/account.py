"""One's own account: another password, and the password once more before what is serious."""

from __future__ import annotations

import asyncio
import time

from starlette.responses import RedirectResponse, Response

from node.accounts import logins, sessions, users
from node.accounts.logins import LoginRefusedError
from node.console.page import PageRequest, PageRoute
from node.console.safety import local_path
from node.console.visitor import address_of, cookie_name
from node.errors import UsageError

_SEE_OTHER, _BAD, _REFUSED = 303, 400, 401


async def _password(page: PageRequest) -> Response:
    return page.render("password.html", problem="")


async def _choose(page: PageRequest) -> Response:
    sent = await page.form()
    old, new, again = (str(sent.get(name, "")) for name in ("old", "new", "again"))
    accounts, name = page.site.accounts, page.who.name
    try:
        await asyncio.to_thread(_check, page, old)
        if new != again:
            raise UsageError("the two new passwords differ")
        await asyncio.to_thread(users.choose_password, accounts, name, new)
    except (UsageError, LoginRefusedError) as error:
        return page.render("password.html", _BAD, problem=page.words(str(error)))
    token = sessions.begin(accounts, name, time.time(), address_of(page.http))  # all others have ended
    answer = RedirectResponse("/", _SEE_OTHER)
    secure = page.site.settings.tls is not None
    answer.set_cookie(cookie_name(page.site.settings), token, httponly=True, samesite="lax", secure=secure, path="/")
    return answer


async def _confirm_form(page: PageRequest) -> Response:
    return page.render("confirm.html", next=local_path(page.asked("next")), problem="")


async def _confirm(page: PageRequest) -> Response:
    sent = await page.form()
    wanted = local_path(sent.get("next"))
    try:
        await asyncio.to_thread(_check, page, str(sent.get("password", "")))
    except LoginRefusedError as error:
        return page.render("confirm.html", _REFUSED, next=wanted, problem=page.words(str(error)))
    if page.who.session is not None:
        sessions.confirmed(page.site.accounts, page.who.session, time.time())
    return RedirectResponse(wanted, _SEE_OTHER)


def _check(page: PageRequest, password: str) -> None:
    """LoginRefusedError where it is not the visitor's password; guessing counts as it does at the login."""
    address, now = address_of(page.http), time.time()
    logins.check_not_too_many(page.site.accounts, page.who.name, address, now)
    if not users.password_is_right(page.site.accounts, page.who.name, password):
        logins.failed(page.site.accounts, page.who.name, address, now)
        raise LoginRefusedError("the password is wrong")


ROUTES = [
    PageRoute("/password", _password, None),
    PageRoute("/password", _choose, None, ("POST",)),
    PageRoute("/confirm", _confirm_form, None),
    PageRoute("/confirm", _confirm, None, ("POST",)),
]
