"""One's own account: another password, and the password once more before what is serious."""

from __future__ import annotations

import time

from starlette.responses import RedirectResponse, Response

from node.accounts import logins, sessions, users
from node.accounts.logins import LoginRefusedError
from node.console.page import PageRequest, PageRoute
from node.console.safety import local_path
from node.console.visitor import address_of, put_cookie
from node.desk import logins as desk
from node.errors import UsageError

_SEE_OTHER, _BAD, _REFUSED = 303, 400, 401


async def _password(page: PageRequest) -> Response:
    return page.render("password.html", problem="")


async def _choose(page: PageRequest) -> Response:
    sent = await page.form()
    old, new, again = (str(sent.get(name, "")) for name in ("old", "new", "again"))
    site, by, now = page.site, page.actor, page.now
    if page.who.session is None:
        raise UsageError("the hospital's login lets you in: there is no password here")
    try:
        await _check(page, old)
        if new != again:
            raise UsageError("the two new passwords differ")
        await site.look_at_password(lambda: users.choose_password(site.accounts, by.name, new))
    except (UsageError, LoginRefusedError) as error:
        return page.render("password.html", _BAD, problem=page.words(str(error)))
    await site.record(lambda _, ledger: desk.password_chosen(ledger, by, now))
    token = sessions.begin(site.accounts, by.name, time.time(), address_of(page.http))  # all others have ended
    answer = RedirectResponse("/", _SEE_OTHER)
    put_cookie(answer, page.http, site.settings, token)
    return answer


async def _confirm_form(page: PageRequest) -> Response:
    return page.render("confirm.html", next=local_path(page.asked("next")), problem="")


async def _confirm(page: PageRequest) -> Response:
    sent = await page.form()
    wanted = local_path(sent.get("next"))
    try:
        await _check(page, str(sent.get("password", "")))
    except LoginRefusedError as error:
        return page.render("confirm.html", _REFUSED, next=wanted, problem=page.words(str(error)))
    if page.who.session is not None:
        sessions.confirmed(page.site.accounts, page.who.session, time.time())
    return RedirectResponse(wanted, _SEE_OTHER)


async def _check(page: PageRequest, password: str) -> None:
    """LoginRefusedError where it is not the visitor's password; guessing counts as it does at the login."""
    address, accounts, name = address_of(page.http), page.site.accounts, page.who.name

    def check() -> None:
        logins.check_not_too_many(accounts, name, address, time.time())
        if not users.password_is_right(accounts, name, password):
            logins.failed(accounts, name, address, time.time())
            raise LoginRefusedError("the password is wrong")

    await page.site.look_at_password(check)


ROUTES = [
    PageRoute("/password", _password, None),
    PageRoute("/password", _choose, None, ("POST",)),
    PageRoute("/confirm", _confirm_form, None),
    PageRoute("/confirm", _confirm, None, ("POST",)),
]
