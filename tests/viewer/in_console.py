"""`make viewer`: the console in a real browser, as an admin, a radiologist and an auditor use it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from PIL import Image

from node.accounts.roles import Role
from node.config.in_force import FILE as IN_FORCE
from node.console.pages import NAVIGATION
from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from tests.support.console import PASSWORD, ConsoleClient
from tests.support.ports import free_port
from tests.support.programs.peers import require_peer
from tests.support.sites.console_site import ConsoleSite
from tests.support.sites.past import GOOD
from tests.support.wait import until
from tests.viewer.browser import Browser, BrowserError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "console"
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = "wcag2a wcag2aa wcag21a wcag21aa wcag22aa best-practice"
FURTHER = (
    f"/studies/{GOOD}",
    f"/studies/{GOOD}/rules-now",
    "/studies?accession=20260302-0017",
    "/rules/edit?file=config.yaml",
    "/plugins/lung-density",
    "/handbook/study.held",
    "/password",
    "/nowhere",
)
"""Addresses beside those of the bar."""
VIOLATIONS = (
    f"axe.run(document, {{runOnly: '{RULES}'.split(' ')}}).then(found => found.violations.map("
    "each => each.id + ': ' + each.nodes.map(node => node.html.slice(0, 200)).join(' | ')))"
)
SCROLLS = "document.documentElement.scrollWidth > window.innerWidth"


class ShownConsole:
    """A console process over a site with a past, and a browser before it."""

    def __init__(self, site: ConsoleSite, url: str, browser: Browser) -> None:
        self.site, self.url, self.browser = site, url, browser

    def go(self, path: str) -> None:
        """Open an address of it."""
        self.browser.go(f"{self.url}{path}")

    def log_in(self, role: Role) -> None:
        """As the user of this role, whoever was logged in."""
        self.go("/login")
        if self.browser.evaluate("location.pathname") != "/login":
            self.browser.click("form[action='/logout'] button")
        self.go("/login")
        self.browser.fill("input[name=name]", role.value)
        self.browser.fill("input[name=password]", PASSWORD)
        self.browser.click("button.main")
        _until(self.browser, "location.pathname === '/login'", False, "the login")

    def complaints(self) -> list[str]:
        """What axe has against the page."""
        self.browser.inject(AXE)
        return list(self.browser.evaluate(VIOLATIONS))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownConsole]:
    """One for all tests."""
    require_peer("ohif")
    folder = tmp_path_factory.mktemp("console")
    port = free_port()
    site = ConsoleSite(folder, f"console: {{port: {port}}}\n")
    for role in Role:
        site.visitor().log_in(role)
    with (
        ConsoleProcess(site.data / IN_FORCE, port) as url,
        Browser(folder / "browser") as browser,
    ):
        browser.size(1280, 900)
        yield ShownConsole(site, url, browser)


class ConsoleProcess:
    """The console's process, until the end of the block."""

    def __init__(self, in_force: Path, port: int) -> None:
        self._in_force, self._url = in_force, f"http://127.0.0.1:{port}"

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "node.console", "--in-force", str(self._in_force)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            until(self._answers, 120, "the console to answer")
        except BaseException:
            self.__exit__()
            raise
        return self._url

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self._url}/login", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def test_an_admin_logs_in_and_finds_a_study_by_keyboard_alone(console: ShownConsole) -> None:
    """Name, password, the bar, a search and its first study: with keys, and what has the focus can be seen."""
    browser = console.browser
    console.go("/login")
    browser.write(Role.ADMIN.value)
    browser.key("Tab")
    browser.write(PASSWORD)
    browser.key("Enter")
    _until(browser, "location.pathname + document.readyState", "/complete", "the first page")
    browser.key("Tab")
    assert browser.evaluate("document.activeElement.className") == "skip"
    _tab_to(browser, "document.activeElement.getAttribute('href') === '/studies'")
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.key("Enter")
    _until(browser, "location.pathname + document.readyState", "/studiescomplete", "the page of studies")
    _tab_to(browser, "document.activeElement.name === 'accession'")
    browser.write("20260302-0017")
    browser.key("Enter")
    _until(
        browser, "location.search.slice(0, 24) + document.readyState", "?accession=20260302-0017complete", "the search"
    )
    _tab_to(browser, f"(document.activeElement.getAttribute('href') ?? '').endsWith('{GOOD}')")
    browser.key("Enter")
    _until(browser, "location.pathname", f"/studies/{GOOD}", "the study")


@pytest.mark.parametrize("path", [*(each.path for each in NAVIGATION if each.path != "/reader"), *FURTHER])
def test_a_page_is_accessible_and_fits(console: ShownConsole, path: str) -> None:
    """Axe finds nothing (WCAG 2.2 AA), in light and in dark; nothing scrolls sideways; the browser has no complaint."""
    browser = console.browser
    console.log_in(Role.ADMIN)
    before = len(browser.said())
    console.go(path)
    found = {}
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        found[scheme] = console.complaints()
    browser.scheme("light")
    assert found == {"light": [], "dark": []}
    for width, height in ((390, 844), (1280, 900)):
        browser.size(width, height)
        assert not browser.evaluate(SCROLLS), f"{path} scrolls sideways at {width} pixels"
    assert [each for each in browser.said()[before:] if "404" not in each] == []


def test_the_page_of_a_radiologist(console: ShownConsole) -> None:
    """By accession: accessible, on a phone as well, in both languages; the rest of the console is not there."""
    browser = console.browser
    console.log_in(Role.READER)
    console.go("/reader?requestType=STUDY&accessionNumber=20260302-0017")
    assert console.complaints() == []
    browser.size(390, 844)
    assert not browser.evaluate(SCROLLS)
    browser.size(1280, 900)
    browser.click("button[value=ko]")
    _until(browser, "document.documentElement.lang", "ko", "the page in Korean")
    assert console.complaints() == []
    browser.click("button[value=en]")
    _until(browser, "document.documentElement.lang", "en", "the page in English")
    assert browser.evaluate("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))") == ["/reader"]


def test_without_scripts_one_can_read_and_act(console: ShownConsole) -> None:
    """With scripts off an alert is taken over by its button, and the page says so."""
    browser = console.browser
    console.log_in(Role.ADMIN)
    browser.scripts(on=False)
    try:
        console.go("/")
        browser.click("#alerts form button")
        assert "belongs to user:admin" in browser.text(".said.ok")
    finally:
        browser.scripts(on=True)


def test_a_page_shows_what_happens(console: ShownConsole) -> None:
    """An alert that is raised by another process is on the open page, without a click."""
    browser = console.browser
    console.log_in(Role.ADMIN)
    console.go("/")
    assert "research-archive" not in browser.text("main")
    with console.site.ledger.transaction() as database:
        now = datetime.now(UTC)
        alerts.raised(database, now, AlertKind.ITEM_FAILED, "deliver research-archive", free="no space")
    until(lambda: "research-archive" in browser.text("main"), 60, "the alert on the open page")


def test_pictures_of_the_pages(tmp_path: Path, full_length: bool) -> None:
    """At full length: the demonstration's console, a picture of each page in docs/console."""
    if not full_length:
        pytest.skip("pictures of the console are made at full length")
    subprocess.run([sys.executable, "-m", "node.cli", "demo"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    data, port = tmp_path / "demo" / "data", free_port()
    with_console = json.loads((data / IN_FORCE).read_text())
    with_console["value"]["console"] = {"port": port}
    (data / IN_FORCE).write_text(json.dumps(with_console))
    for role in (Role.ADMIN, Role.READER):
        ConsoleClient(data / IN_FORCE, data).log_in(role)
    shown = [(Role.ADMIN, each.path) for each in NAVIGATION if each.path != "/reader"]
    shown += [
        (Role.ADMIN, "/studies/A101"),
        (Role.ADMIN, "/studies/A105"),
        (Role.ADMIN, "/rules/edit?file=config.yaml"),
    ]
    shown += [(Role.READER, "/reader?requestType=STUDY&accessionNumber=A107")]
    with ConsoleProcess(data / IN_FORCE, port) as url, Browser(tmp_path / "browser") as browser:
        console = ShownConsole(ConsoleSite.__new__(ConsoleSite), url, browser)
        browser.size(1280, 900)
        for role, path in shown:
            console.log_in(role)
            console.go(path)
            _keep(browser, tmp_path, path)


def _keep(browser: Browser, folder: Path, path: str) -> None:
    name = path.partition("?")[0].strip("/").replace("/", "-").lower() or "now"
    made = Image.open(browser.screenshot(folder / "page.png", whole=True)).convert("RGB")
    height = min(made.height, 2000)
    made.crop((0, 0, made.width, height)).quantize(128).save(DOCS / f"{name}.png", optimize=True)


def _until(browser: Browser, script: str, expected: object, what: str) -> None:
    """Wait until this is so in the page, which may be another one from one moment to the next."""

    def is_so() -> bool:
        try:
            return bool(browser.evaluate(script) == expected)
        except BrowserError:  # just then it was left
            return False

    until(is_so, 60, what)


def _tab_to(browser: Browser, condition: str) -> None:
    for _ in range(80):
        if browser.evaluate(condition):
            return
        browser.key("Tab")
    raise AssertionError(f"no key leads to {condition}")
