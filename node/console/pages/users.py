"""Who may use this console? Users with their roles; a new password is shown once."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import FormData
from starlette.responses import Response

from node.accounts.roles import Role
from node.console.page import PageRequest, PageRoute
from node.desk import users
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right
from node.desk.users import UserDesk
from node.errors import UsageError

_PATH = "/users"
_AGAIN = "/confirm?next=/users"


async def _users(page: PageRequest) -> Response:
    if not page.who.is_confirmed:
        return page.go(_AGAIN)
    found = [(each, users.state_of(each)) for each in users.listed(page.site.accounts, page.actor)]
    return page.render("users.html", found=found, roles=[*Role])


async def _act(page: PageRequest, what: Callable[[UserDesk, FormData], ActionOutcome]) -> Response:
    sent = await page.form()
    if not page.who.is_confirmed:
        return page.go(_AGAIN, "error", page.words("Nothing is changed yet: your password is needed again first."))
    accounts, by, now = page.site.accounts, page.actor, page.now
    return await page.act(lambda _, ledger: what(UserDesk(accounts, ledger, by, now), sent), _PATH)


async def _add(page: PageRequest) -> Response:
    return await _act(
        page,
        lambda desk, sent: desk.add(_name(sent), _role(sent), password=not sent.get("without_password")),
    )


async def _password(page: PageRequest) -> Response:
    return await _act(page, lambda desk, sent: desk.give_password(_name(sent)))


async def _give_role(page: PageRequest) -> Response:
    return await _act(page, lambda desk, sent: desk.give_role(_name(sent), _role(sent)))


async def _disable(page: PageRequest) -> Response:
    return await _act(page, lambda desk, sent: desk.disable(_name(sent)))


async def _enable(page: PageRequest) -> Response:
    return await _act(page, lambda desk, sent: desk.enable(_name(sent)))


async def _remove(page: PageRequest) -> Response:
    return await _act(page, lambda desk, sent: desk.remove(_name(sent)))


def _name(sent: FormData) -> str:
    return str(sent.get("name", "")).strip()


def _role(sent: FormData) -> Role:
    try:
        return Role(str(sent.get("role")))
    except ValueError:
        raise UsageError(f"a role is one of {', '.join(Role)}") from None


ROUTES = [
    PageRoute(_PATH, _users, Right.MANAGE_USERS),
    PageRoute("/users/add", _add, Right.MANAGE_USERS, ("POST",)),
    PageRoute("/users/password", _password, Right.MANAGE_USERS, ("POST",)),
    PageRoute("/users/role", _give_role, Right.MANAGE_USERS, ("POST",)),
    PageRoute("/users/disable", _disable, Right.MANAGE_USERS, ("POST",)),
    PageRoute("/users/enable", _enable, Right.MANAGE_USERS, ("POST",)),
    PageRoute("/users/remove", _remove, Right.MANAGE_USERS, ("POST",)),
]
