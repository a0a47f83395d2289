"""Connections: destinations, senders, refused callers and certificates; and asking those that the site names."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.accounts.roles import Role
from node.config.console import ConsoleSettings
from node.config.in_force import FILE as IN_FORCE
from node.desk.site import read
from node.dimse import scu
from node.dimse.scu import Peer, UnreachableError
from tests.support.console import ConsoleClient, text_of
from tests.support.sites.watched_site import WatchedSite


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> WatchedSite:
    return WatchedSite(tmp_path, "modalities:\n  us7: {ae_title: US7, addresses: [10.0.0.9]}\n")


def _admin(site: WatchedSite) -> ConsoleClient:
    visitor = site.visitor()
    visitor.log_in(Role.ADMIN)
    return visitor


def test_a_page_shows_who_sends_who_was_refused_and_what_waits(site: WatchedSite) -> None:
    """A refused caller has the line that lets it in; text from the network is text."""
    site.refused("<b>CT9</b>", "10.0.0.7")
    answer = _admin(site).get("/connections")
    page = text_of(answer)
    assert "pacs PACS at 127.0.0.1:11113" in page
    assert "calling AE title not recognised" in page
    assert "addresses: [10.0.0.7]" in page
    assert "<b>CT9" not in answer.text
    assert "nothing in the last 500 studies" in page, "of the modality that never sent"


def test_only_what_the_configuration_names_is_asked(site: WatchedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination is called by its name; an address that somebody types is called never."""
    called: list[Peer] = []
    monkeypatch.setattr(scu, "echo", called.append)
    visitor = _admin(site)
    visitor.post("/connections/echo", {"name": "pacs"})
    assert "pacs (PACS at 127.0.0.1:11113) answers" in text_of(visitor.get("/connections"))
    for name in ("EVIL@169.254.169.254:80", "127.0.0.1", ""):
        visitor.post("/connections/echo", {"name": name})
        visitor.post("/connections/probe", {"name": name})
        assert "the configuration has no" in text_of(visitor.get("/connections"))
    assert [(each.host, each.port) for each in called] == [("127.0.0.1", 11113)]


def test_a_peer_that_does_not_answer_is_said_and_keeps_nobody(
    site: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows why; other pages are read meanwhile, since peers have threads of their own."""

    def fails(peer: Peer) -> None:
        raise UnreachableError(f"{peer} does not answer")

    monkeypatch.setattr(scu, "echo", fails)
    visitor = _admin(site)
    visitor.post("/connections/echo", {"name": "pacs"})
    assert "pacs: PACS at 127.0.0.1:11113 does not answer" in text_of(visitor.get("/connections"))


def test_a_destination_is_paused_and_goes_on(site: WatchedSite) -> None:
    """With a reason, which the page shows."""
    visitor = _admin(site)
    visitor.post("/connections/pause", {"name": "pacs", "why": "archive is moved"})
    assert "paused" in text_of(visitor.get("/connections"))
    assert "archive is moved" in text_of(visitor.get("/connections"))
    visitor.post("/connections/resume", {"name": "pacs"})
    assert "destination pacs goes on" in text_of(visitor.get("/connections"))


def test_a_viewer_asks_nobody(site: WatchedSite) -> None:
    """Seeing is not acting."""
    viewer = site.visitor()
    viewer.log_in(Role.VIEWER)
    assert "Echo" not in text_of(viewer.get("/connections"))
    assert viewer.post("/connections/echo", {"name": "pacs"}).status_code == 403


def test_one_click_lets_a_refused_caller_in_at_the_address_that_was_seen(site: WatchedSite) -> None:
    """The file gets one entry, and keeps its comments; what somebody types is entered never."""
    with site.config.open("a") as file:
        file.write("# scanners of the new wing are to come\n")
    site.refused("CT9: {}", "10.0.0.7")
    visitor = _admin(site)
    asked = {"calling": "CT9: {}", "called": "PACSNODE", "address": "10.0.0.8"}
    visitor.post("/connections/allow", asked)
    assert "no such caller was refused" in text_of(visitor.get("/connections"))
    visitor.post("/connections/allow", {**asked, "address": "10.0.0.7"})
    assert "config.yaml is written" in text_of(visitor.get("/connections"))
    text = site.config.read_text()
    assert "# scanners of the new wing are to come" in text
    entered = read(site.config).configuration.modalities["ct9"]
    assert (entered.ae_title, [str(each) for each in entered.addresses]) == ("CT9: {}", ["10.0.0.7/32"])


def test_a_site_whose_file_alone_counts_lets_nobody_in_by_a_click(site: WatchedSite) -> None:
    """console.edit: false; and a viewer may not."""
    site.refused("CT9", "10.0.0.7")
    asked = {"calling": "CT9", "called": "PACSNODE", "address": "10.0.0.7"}
    admin = ConsoleClient(site.data / IN_FORCE, site.data, ConsoleSettings(edit=False))
    admin.log_in(Role.ADMIN)
    assert "Let it in" not in text_of(admin.get("/connections"))
    assert admin.post("/connections/allow", asked).status_code == 403
    viewer = site.visitor()
    viewer.log_in(Role.VIEWER)
    assert viewer.post("/connections/allow", asked).status_code == 403
