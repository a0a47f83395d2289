"""Every address of the console, asked by nobody and by each role."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.accounts import users
from node.accounts.roles import Role
from node.clock import SystemClock
from node.console.page import PageRoute
from node.console.pages import NAVIGATION, ROUTES
from node.desk.rights import Right, rights_of
from tests.support.console import PASSWORD, ConsoleClient, cheap_hashes, text_of
from tests.support.sites.console_site import ConsoleSite
from tests.support.sites.past import GOOD

PARTS = {"uid": GOOD, "study": GOOD}
"""Values for the parts of addresses; 1 for others."""
STREAMS = ("/live",)
"""What never ends is asked for in test_live.py."""
GETS = [route for route in ROUTES if "GET" in route.methods and route.path not in STREAMS]
POSTS = [route for route in ROUTES if "POST" in route.methods]
PATIENT = "SECRET-4711"


def address(route: PageRoute) -> str:
    """An address that the route answers."""
    parts = route.path.split("/")
    return "/".join(PARTS.get(_name(part), "1") if part.startswith("{") else part for part in parts)


def _name(part: str) -> str:
    return part.strip("{}").partition(":")[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ConsoleSite:
    """One for all; nothing here changes it."""
    return ConsoleSite(tmp_path_factory.mktemp("site"))


def browser(site: ConsoleSite, role: Role) -> ConsoleClient:
    """Somebody of this role."""
    made = site.visitor()
    made.log_in(role)
    return made


def check_says_nothing(site: ConsoleSite, route: PageRoute, text: str, role: Role | None) -> None:
    """No traceback, no place on this machine, no patient for those who may not see one."""
    assert "Traceback" not in text, route.path
    for place in (str(site.data), str(site.config.parent), str(Path(__file__).parents[3]), "/site-packages/"):
        assert place not in text, (route.path, place)
    if role is None or Right.SEE_PATIENT not in rights_of(role):
        assert PATIENT not in text, route.path


def test_nobody_gets_anything_but_the_login(site: ConsoleSite) -> None:
    """Without a login each page leads to the login, and each action to nothing."""
    nobody = site.visitor()
    for route in GETS:
        answer = nobody.get(address(route))
        check_says_nothing(site, route, answer.text, None)
        if route.is_public:
            assert answer.status_code < 500, route.path
        else:
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login"), route.path
    for route in POSTS:
        answer = nobody.post(address(route), {}, token=False)
        check_says_nothing(site, route, answer.text, None)
        if not route.is_public:
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login"), route.path


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_the_pages_of_its_rights(site: ConsoleSite, role: Role) -> None:
    """A page is shown to those who have its right; others read which one they lack."""
    visitor = browser(site, role)
    for route in GETS:
        answer = visitor.get(address(route))
        check_says_nothing(site, route, answer.text, role)
        allowed = route.right is None or route.right in rights_of(role)
        assert (answer.status_code == 403) is not allowed, (route.path, answer.status_code)
        assert answer.status_code < 500, (route.path, text_of(answer))


@pytest.mark.parametrize("role", list(Role))
def test_no_action_without_the_token_of_a_page(site: ConsoleSite, role: Role) -> None:
    """A form without the visitor's token is refused, whoever sends it; only logging in and the language need none."""
    visitor = browser(site, role)
    for route in POSTS:
        answer = visitor.post(address(route), {"csrf": "x" * 43}, token=False)
        check_says_nothing(site, route, answer.text, role)
        if not route.is_public:
            assert answer.status_code == 403, (route.path, answer.status_code)


@pytest.mark.parametrize("role", list(Role))
def test_an_empty_form_breaks_no_page(site: ConsoleSite, role: Role) -> None:
    """Each action with its token alone says what is missing, and is refused where the role lacks the right."""
    visitor = browser(site, role)
    token = {"csrf": visitor.token()}
    for route in sorted(POSTS, key=lambda each: each.path == "/logout"):
        answer = visitor.post(address(route), token, token=False)
        check_says_nothing(site, route, answer.text, role)
        allowed = route.is_public or route.right is None or route.right in rights_of(role)
        assert answer.status_code < 500, (route.path, text_of(answer))
        assert allowed or answer.status_code == 403, (route.path, answer.status_code)


def test_a_first_password_opens_no_page(site: ConsoleSite) -> None:
    """Whoever has a password that somebody else gave sees the page for a new one, and nothing else."""
    visitor = site.visitor()
    with cheap_hashes():
        secret = users.add(visitor.accounts, "fresh", Role.ADMIN, SystemClock().now(), "os:test")
    visitor.post("/login", {"name": "fresh", "password": secret}, token=False)
    for route in GETS:
        if route.right is not None:
            assert visitor.get(address(route)).headers.get("location") == "/password", route.path
    for route in POSTS:
        if route.right is not None:
            assert visitor.post(address(route), {}).headers.get("location") == "/password", route.path
    chosen = {"old": secret, "new": PASSWORD, "again": PASSWORD}
    assert visitor.post("/password", chosen).headers["location"] == "/"
    assert visitor.get("/").status_code == 200


def test_the_bar_has_the_pages_of_the_role(site: ConsoleSite) -> None:
    """Each role finds in the bar what it may open, and nothing else."""
    for role in (Role.VIEWER, Role.AUDITOR, Role.ADMIN):
        page = browser(site, role).get("/").text
        for entry in NAVIGATION:
            assert (f'<a href="{entry.path}"' in page) is (entry.right in rights_of(role)), (role, entry.path)


def test_what_is_not_there(site: ConsoleSite) -> None:
    """An unknown address is a page that says so, for those who are logged in."""
    assert site.visitor().get("/nowhere").headers["location"] == "/login?next=%2Fnowhere"
    found = browser(site, Role.VIEWER).get("/nowhere")
    assert found.status_code == 404
    assert "There is no such page." in text_of(found)
