"""Twelve attacks by name (OWASP), each against all pages that there are."""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from node.accounts import logins, passwords, sessions, users
from node.accounts.logins import LoginRefusedError
from node.accounts.roles import Role
from node.clock import SystemClock
from node.config.console import ConsoleProxy, ConsoleSettings
from node.console.pages import ROUTES
from node.console.rendering import HERE
from node.console.safety import local_path
from node.desk import peers, trial
from node.desk.rights import rights_of
from node.errors import NodeError
from node.ledger import events
from node.ledger.event_kinds import EventKind
from tests.support.console import PASSWORD, ConsoleClient, cheap_hashes, text_of
from tests.support.sites.console_site import ConsoleSite
from tests.unit.console.test_routes import GETS, POSTS, address, browser

MARK = "x-mark"
POISON = f"\"><{MARK} onerror=1>'--><script>{MARK}()</script>{{{{7*7}}}}m\u202e\u0007"
PLACES = {
    "studies": (
        "accession_number",
        "patient_id",
        "patient_name",
        "description",
        "modalities",
        "hold",
        "issuer_of_patient_id",
    ),
    "series": ("modality", "description"),
    "instances": ("calling_ae_title", "called_ae_title", "peer_address"),
    "jobs": ("error", "asked", "rule", "plugin", "step"),
    "attempts": ("error", "reason"),
    "deliveries": ("reason", "answer", "destination"),
    "identities": ("differs", "reason", "destination"),
    "alerts": ("owner", "note", "place"),
}
"""Columns with text of others: a sender, a plugin, a destination, a person."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ConsoleSite:
    """One whose senders are hostile."""
    made = ConsoleSite(tmp_path_factory.mktemp("site"))
    with made.ledger.transaction() as database:
        for table, columns in PLACES.items():
            known = {row["name"] for row in database.query(f"PRAGMA table_info({table})")}
            for column in known & set(columns):
                database.execute(f"UPDATE {table} SET {column}={column} || ?", [POISON])
        now = SystemClock().now()
        events.record(database, now, EventKind.ITEM_FAILED, actor=f"ae:{POISON}", reason=POISON)
    return made


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ConsoleSite:
    """One for what has nothing to do with its studies."""
    return ConsoleSite(tmp_path_factory.mktemp("clean"))


class _Tags(HTMLParser):
    """The elements and attributes that a browser would make."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Them, of one page."""
    parser = _Tags()
    parser.feed(text)
    return parser.found


def test_csrf(clean: ConsoleSite) -> None:
    """A page of another site cannot act for a visitor: its forms have no token, and its origin gives it away."""
    visitor = browser(clean, Role.ADMIN)
    right = {"csrf": visitor.token()}
    for route in POSTS:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "http://evil.example"},
        ):
            answer = visitor.ask("POST", address(route), data=right, headers=headers)
            assert answer.status_code == 403, (route.path, headers)
        for origin in ("null", "http://[", "http://127.0.0.1:8088.evil.example"):
            assert visitor.ask("POST", address(route), data=right, headers={"Origin": origin}).status_code == 403
    other = browser(clean, Role.VIEWER)
    assert other.ask("POST", "/logout", data=right).status_code == 403, "a token is of one session"
    name = "pacsnode"
    cookie = next(each for each in visitor.cookies.jar if each.name == name)
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"


@pytest.mark.parametrize("role", [Role.ADMIN, Role.READER])
def test_xss_from_dicom_text(site: ConsoleSite, role: Role) -> None:
    """Text of a sender is text on each page: no element, no attribute, no expression; what is unseen is shown."""
    visitor, shown = browser(site, role), 0
    for route in GETS:
        page = visitor.get(address(route))
        if not page.headers.get("content-type", "").startswith("text/html"):
            continue
        for tag, attributes in tags(page.text):
            assert tag != MARK, route.path
            assert tag != "script" or (attributes.get("src") or "").startswith("/static/"), route.path
            assert not [name for name in attributes if name.startswith("on")], route.path
        assert "49m" not in page.text, route.path
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f]", page.text), route.path
        shown += MARK in text_of(page)
    assert shown >= (3 if role is Role.ADMIN else 0), "the poison has to be on the pages for this to mean anything"


def test_path_traversal(clean: ConsoleSite) -> None:
    """Neither a static address nor a part of a page's address leads to a file of this machine."""
    visitor = browser(clean, Role.ADMIN)
    outside = (
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "....//app.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "vendor/../../app.py",
        "..\\app.py",
    )
    for name in outside:
        assert visitor.get(f"/static/{name}").status_code in (303, 404), name
    for route in GETS:
        for name in ("..%2f..%2fconfig.yaml", "%2fetc%2fpasswd", "%00", "a%0d%0ab"):
            if "{" in route.path:
                answer = visitor.get(re.sub(r"\{[^}]*\}", name, route.path))
                assert answer.status_code in (303, 400, 403, 404, 409), (route.path, name, answer.status_code)
                assert "root:" not in answer.text
                assert "time_zone:" not in answer.text


def test_session_fixation(clean: ConsoleSite) -> None:
    """A session that existed before the login is worth nothing after it, and a token of one's own choice never is."""
    visitor = clean.visitor()
    visitor.cookies.set("pacsnode", "chosen-by-somebody-else", domain="127.0.0.1", path="/")
    visitor.log_in(Role.VIEWER)
    first = visitor.cookies["pacsnode"]
    assert first != "chosen-by-somebody-else"
    visitor.log_in(Role.ADMIN)
    assert visitor.cookies["pacsnode"] != first
    thief = clean.visitor()
    thief.cookies.set("pacsnode", first)
    assert thief.get("/").headers["location"] == "/login"


ELSEWHERE = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "javascript:alert(1)",
    "",
    "evil.example",
    "/\x0b/x\x85",
)


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_open_redirect(clean: ConsoleSite, wanted: str) -> None:
    """After the login, and after an action, a browser stays at this console."""
    assert local_path(wanted) == "/"
    visitor = browser(clean, Role.VIEWER)
    assert (
        visitor.post("/login", {"name": "viewer", "password": PASSWORD, "next": wanted}, token=False).headers[
            "location"
        ]
        == "/"
    )
    assert visitor.post("/language", {"language": "ko", "back": wanted}, token=False).headers["location"] == "/"


def test_header_and_host_injection(clean: ConsoleSite) -> None:
    """Only the site's names are answered, and no header can be written from an address or a form."""
    visitor = browser(clean, Role.ADMIN)
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8088",
        "127.0.0.1@evil.example",
        "",
        "[::1",
        "localhost:80:80",
    ):
        for path in ("/", "/login", "/healthz", "/static/console.css"):
            assert visitor.get(path, Host=host).status_code == 400, (host, path)
    for host in ("127.0.0.1:8088", "localhost", "LOCALHOST:1", "[::1]:8088"):
        assert visitor.get("/login", Host=host).status_code in (200, 303), host
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Remote-User": "admin",
        "X-Forwarded-For": "10.0.0.1",
    }
    stranger = clean.visitor()
    answer = stranger.get("/studies", **forged)
    assert answer.headers["location"] == "/login?next=%2Fstudies"
    answer = visitor.post(
        "/language", {"language": "ko\r\nSet-Cookie: a=b", "back": "/x%0d%0aSet-Cookie:%20a=b"}, token=False
    )
    assert "a" not in visitor.cookies
    answer = visitor.get("/nowhere%0d%0aX-Evil:1?next=%0d%0aX-Evil:1")
    assert "x-evil" not in answer.headers


def test_proxy_headers_of_others_are_not_believed(clean: ConsoleSite) -> None:
    """The proxy's headers count from its address alone, and once each; past it, nobody sees a page without TLS."""
    proxy = ConsoleProxy(addresses=("10.0.0.9",), groups_header="X-Groups", groups={Role.AUDITOR: ("audit",)})
    settings = ConsoleSettings(host="0.0.0.0", proxy=proxy)
    visitor = clean.visitor(settings)

    def ask(address: str, *headers: tuple[str, str]) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(visitor.app, client=(address, 50000))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8088") as client:
                return await client.get("/audit", headers=[*headers])

        return asyncio.run(send())

    kim, group = ("X-Remote-User", "kim"), ("X-Groups", "staff, audit")
    assert ask("10.0.0.9", kim, group).status_code == 200
    assert ask("::ffff:10.0.0.9", kim, group).status_code == 200
    assert ask("10.0.0.8", kim, group).status_code == 404, "past the proxy, without TLS"
    assert ask("127.0.0.1", kim, group).status_code == 303
    assert ask("10.0.0.9", kim, kim, group).status_code == 303, "one of the two may be the browser's"
    assert ask("10.0.0.9", kim, group, group).status_code == 303
    assert ask("10.0.0.9", ("X-Remote-User", "k" * 200), group).status_code == 303
    login = ask("10.0.0.9", ("X-Forwarded-Proto", "https"))
    assert login.status_code == 303
    users.add(visitor.accounts, "locked", Role.AUDITOR, SystemClock().now(), "os:test", password=False)
    users.change(visitor.accounts, "locked", disabled=True)
    assert ask("10.0.0.9", ("X-Remote-User", "locked"), group).status_code == 303, (
        "disabled here, whatever the proxy says"
    )


def test_idor(clean: ConsoleSite) -> None:
    """Knowing the name of something opens it to no role that may not see it, by page or by action."""
    reader = browser(clean, Role.READER)
    before = {each.name: each for each in users.every(reader.accounts)}
    for route in (*GETS, *POSTS):
        if route.right is None or route.is_public:
            continue
        visitor = (
            reader.post(address(route), {"alert": "1", "name": "admin", "role": "reader"})
            if "POST" in route.methods
            else reader.get(address(route))
        )
        assert visitor.status_code == 403 or Role.READER in _roles(route.right), route.path
    assert {each.name: each for each in users.every(reader.accounts)} == before
    mine, other = browser(clean, Role.VIEWER), browser(clean, Role.AUDITOR)
    answer = mine.post("/login", {"name": "viewer", "password": "wrong wrong wrong", "session": "1"}, token=False)
    assert answer.status_code == 401
    assert other.get("/").status_code == 200, "what one does ends nobody else's session"


def _roles(right: object) -> list[Role]:
    return [role for role in Role if right in rights_of(role)]


class TestBruteForce:
    """Passwords cannot be guessed at the login."""

    def test_one_place_against_one_user(self, clean: ConsoleSite) -> None:
        """After five wrong passwords even the right one is refused there, and only there."""
        accounts = self._with_user(clean, "target")
        for _ in range(5):
            self._refused(accounts, "target", "wrong", 1000.0, "10.0.0.1")
        self._refused(accounts, "target", PASSWORD, 1000.0, "10.0.0.1")
        assert logins.log_in(accounts, "target", PASSWORD, 1000.0, "10.0.0.2")
        assert logins.log_in(accounts, "target", PASSWORD, 1000.0 + 16 * 60, "10.0.0.1")

    def test_many_places_against_one_user(self, clean: ConsoleSite) -> None:
        """Thirty wrong passwords from anywhere close the account for a quarter of an hour."""
        accounts = self._with_user(clean, "wanted")
        for number in range(30):
            self._refused(accounts, "wanted", "wrong", 5000.0, f"10.1.0.{number}")
        self._refused(accounts, "wanted", PASSWORD, 5000.0, "10.2.0.1")

    def test_one_place_against_many_users(self, clean: ConsoleSite) -> None:
        """Fifty wrong logins close an address, also for names that nobody has."""
        accounts = self._with_user(clean, "patient")
        for number in range(50):
            self._refused(accounts, f"nobody{number}", "wrong", 9000.0, "10.3.0.1")
        self._refused(accounts, "patient", PASSWORD, 9000.0, "10.3.0.1")

    def test_an_unknown_name_costs_as_much_as_a_known_one(self, clean: ConsoleSite) -> None:
        """A password is hashed once in each case, and the answer is the same: it does not say which names there are."""
        accounts = self._with_user(clean, "known")
        passwords.is_right("x", None)  # makes what unknown names are compared with
        asked: list[str] = []
        real = passwords._hasher()

        class Counting:
            def verify(self, kept: str, given: str) -> bool:
                asked.append(kept)
                return bool(real.verify(kept, given))

        with patch.object(passwords, "_hasher", Counting):
            for name in ("known", "unknown"):
                with pytest.raises(LoginRefusedError, match="the name or the password is wrong"):
                    logins.log_in(accounts, name, "wrong", 1.0, "10.4.0.1")
        assert len(asked) == 2

    def test_the_confirmation_counts_as_a_login(self, clean: ConsoleSite) -> None:
        """Whoever finds a browser open cannot guess the password on the pages that ask for it again."""
        visitor = clean.visitor()
        visitor.log_in(Role.VIEWER, "left-open")
        for path, values in (
            ("/confirm", {"password": "wrong"}),
            ("/password", {"old": "wrong", "new": "n", "again": "n"}),
        ):
            for _ in range(3):
                assert visitor.post(path, values).status_code in (400, 401)
        assert "too many failed logins" in text_of(visitor.post("/confirm", {"password": PASSWORD}))

    def test_refused_logins_are_on_record_and_few(self, clean: ConsoleSite) -> None:
        """The history has who was refused and from where; an unknown name, perhaps a password, is not written down."""
        visitor = clean.visitor()
        visitor.log_in(Role.VIEWER, "careful")
        for name in ("careful", "correct horse battery staple"):
            visitor.post("/login", {"name": name, "password": "wrong"}, token=False)
        found = clean.ledger.database.query(
            "SELECT actor, detail FROM events WHERE kind='user.refused' ORDER BY id DESC LIMIT 2"
        )
        assert [row["actor"] for row in found] == ["node", "user:careful"]
        assert "staple" not in str(found)
        assert '"address":"127.0.0.1"' in found[0]["detail"]

    @staticmethod
    def _with_user(site: ConsoleSite, name: str) -> Any:
        accounts = site.visitor().accounts
        with cheap_hashes():
            users.add(accounts, name, Role.VIEWER, SystemClock().now(), "os:test")
            users.choose_password(accounts, name, PASSWORD)
        return accounts

    @staticmethod
    def _refused(accounts: Any, name: str, password: str, at: float, address: str) -> str:
        with cheap_hashes(), pytest.raises(LoginRefusedError) as refused:
            logins.log_in(accounts, name, password, at, address)
        return str(refused.value)


def test_csp(clean: ConsoleSite) -> None:
    """Each answer forbids scripts and styles that are not files of ours, and no template has any."""
    visitor = browser(clean, Role.ADMIN)
    for path in (
        "/",
        "/login",
        "/nowhere",
        "/healthz",
        "/metrics",
        "/static/console.css",
        "/static/nothing",
        *map(address, GETS),
    ):
        policy = visitor.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"), path
        assert "unsafe" not in policy
    assert visitor.get("/", Host="evil.example").headers["x-content-type-options"] == "nosniff"
    inline = re.compile(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)|\|\s*safe\b|Markup\(", re.I)
    for template in (HERE / "templates").rglob("*.html"):
        assert not inline.search(template.read_text()), template.name


def test_clickjacking(clean: ConsoleSite) -> None:
    """No answer can be shown inside a page of somebody else."""
    visitor = browser(clean, Role.ADMIN)
    for path in ("/", "/login", "/nowhere", *map(address, GETS)):
        headers = visitor.get(path).headers
        assert headers["x-frame-options"] == "DENY", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path


class TestMultipartAndRangeAbuse:
    """What is sent and asked for in excess."""

    def test_forms_are_limited(self, clean: ConsoleSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Too many fields, a huge field and a huge file are refused, logged in or not; nothing is left on the disk."""
        nobody, visitor = clean.visitor(), browser(clean, Role.ADMIN)
        right = {"csrf": visitor.token()}
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        for asked, path in ((nobody, "/login"), (nobody, "/language"), (visitor, "/logout"), (visitor, "/users/add")):
            assert asked.ask("POST", path, data={f"n{number}": "1" for number in range(500)} | right).status_code == 400
            assert asked.ask("POST", path, data={"name": "x" * (3 << 20)} | right).status_code == 400
            assert asked.ask("POST", path, files={"file": b"x" * (3 << 20)}, data=right).status_code == 400
            odd = {"Content-Type": "multipart/form-data; boundary=x"}
            assert asked.ask("POST", path, content=b"--y\r\nno form", headers=odd).status_code in (400, 403, 401)
            assert asked.ask("POST", path, content=b"{}", headers={"Content-Type": "application/json"}).status_code in (
                400,
                401,
                403,
            )
        assert list(tmp_path.iterdir()) == []

    def test_ranges(self, clean: ConsoleSite) -> None:
        """A file is answered as a whole, whatever ranges are asked for: none costs more than the file."""
        whole = clean.visitor().get("/static/console.css")
        many = ",".join(f"{n}-{n}" for n in range(0, 5000, 2))
        for ranges in ("bytes=0-0", f"bytes={many}", "bytes=-1", "bytes=99999999-"):
            answer = clean.visitor().get("/static/console.css", Range=ranges)
            assert (answer.status_code, answer.content) == (200, whole.content), ranges


def test_ssrf_by_echo_and_webhook(clean: ConsoleSite) -> None:
    """A page calls nobody but whom the configuration names: a host, port or address in a form is not even tried."""
    called: list[object] = []
    with patch.object(socket.socket, "connect", lambda _, place: called.append(place)):
        for name in ("127.0.0.1", "127.0.0.1:22", "http://169.254.169.254/", "localhost", "../pacs"):
            with pytest.raises(NodeError):
                peers.named(name, clean.config)
            with pytest.raises(NodeError):
                trial.send(clean.config, name)
        visitor = browser(clean, Role.ADMIN)
        for route in POSTS:
            if route.path in ("/logout",):
                continue
            values = dict.fromkeys(
                ("name", "destination", "peer", "place", "person", "url", "host", "address"), "EVIL@127.0.0.1:22"
            )
            visitor.post(address(route), values)
    assert called == []


def test_logged_out_everywhere(clean: ConsoleSite) -> None:
    """One click ends all sessions of a user; so do a new password, another role and being disabled."""
    at_home, at_work = clean.visitor(), clean.visitor()
    for each in (at_home, at_work):
        each.log_in(Role.VIEWER, "anna")
    at_work.post("/logout", {"everywhere": "1"})
    assert at_home.get("/").headers["location"] == "/login"
    for change in (
        lambda: users.change(at_home.accounts, "anna", role=Role.AUDITOR),
        lambda: users.reset_password(at_home.accounts, "anna"),
        lambda: users.change(at_home.accounts, "anna", disabled=True),
    ):
        token = sessions.begin(at_home.accounts, "anna", SystemClock().now().timestamp(), "10.0.0.1")
        at_home.cookies.set("pacsnode", token)
        assert at_home.get("/password").status_code == 200
        with cheap_hashes():
            change()
        assert at_home.get("/password").status_code == 303


def test_every_route_says_which_right_it_needs() -> None:
    """A page without a right is one of those that everybody has: one's own account, and what is public."""
    free = {route.path for route in ROUTES if route.right is None}
    assert free <= {"/login", "/logout", "/language", "/password", "/confirm", "/live", "/reader/launch"}
    assert {route.path for route in ROUTES if route.is_public} <= {"/login", "/language", "/reader/launch"}


def test_encrypted_cookies(clean: ConsoleSite) -> None:
    """Behind TLS the cookie is Secure and of this host alone (`__Host-`)."""
    tls = {"certificate": "c.pem", "key": "k.pem"}
    visitor: ConsoleClient = clean.visitor(ConsoleSettings.model_validate({"tls": tls}, context=None))
    visitor.log_in(Role.VIEWER)
    cookie = next(iter(visitor.cookies.jar))
    assert (cookie.name, cookie.secure, cookie.path) == ("__Host-pacsnode", True, "/")
