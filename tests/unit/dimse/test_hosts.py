"""Addresses of hosts by name: what is known when the name server is not there, and that nobody waits for it."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from pathlib import Path

import pytest

from node.clock import SystemClock
from node.dimse import hosts
from node.dimse.hosts import Hosts
from node.store.resolved import ResolvedHost, ResolvedHosts
from tests.support.wait import until

NAME = "pacs.hospital.example"
ADDRESS = frozenset({ip_address("10.0.0.9")})


def unknown(_: str) -> list[str]:
    raise OSError("Temporary failure in name resolution")


def test_finding_a8_the_last_good_address_is_used_while_a_name_does_not_resolve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs and after a start; `status` can read since when. Once it resolves again, the new one counts."""
    monkeypatch.setattr(hosts, "PAUSE", 0.01)
    kept, answer = ResolvedHosts(tmp_path), [["10.0.0.9"]]
    known = Hosts([NAME], kept, SystemClock(), lambda name: answer[0] or unknown(name))
    assert known.addresses(NAME) == ADDRESS
    answer[0] = []
    since = until(lambda: kept.read().get(NAME, ResolvedHost()).failing_since, what="the failure to be kept")
    assert known.addresses(NAME) == ADDRESS
    monkeypatch.setattr(hosts, "PAUSE", 60.0)
    again = Hosts([NAME], kept, SystemClock(), unknown)
    assert again.addresses(NAME) == ADDRESS
    assert kept.read()[NAME] == ResolvedHost(("10.0.0.9",), since)
    moved = Hosts([NAME], kept, SystemClock(), lambda _: ["10.0.0.10"])
    until(lambda: moved.addresses(NAME) == {ip_address("10.0.0.10")}, what="the new address")
    until(lambda: kept.read()[NAME] == ResolvedHost(("10.0.0.10",)), what="it to be kept")


def test_finding_a8_nobody_waits_long_for_a_name_server_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of which nothing is known has no address; another name, and an address, are not held up."""
    monkeypatch.setattr(hosts, "FIRST", 0.05)
    hangs = threading.Event()

    def lookup(name: str) -> list[str]:
        if name == NAME:
            hangs.wait(60)
        return ["::ffff:10.0.0.9"]

    found = Hosts([NAME, "other.example", "10.0.0.1"], ResolvedHosts(tmp_path), SystemClock(), lookup)
    assert found.addresses(NAME) == frozenset()
    until(lambda: found.addresses("other.example") == ADDRESS, what="the other name")
    assert found.addresses("10.0.0.1") == {ip_address("10.0.0.1")}
    hangs.set()
    until(lambda: found.addresses(NAME) == ADDRESS, what="the answer")


def test_finding_a8_a_name_that_never_resolved_is_known_to_status(tmp_path: Path) -> None:
    """It has no address, and the moment of the first failure."""
    kept = ResolvedHosts(tmp_path)
    found = Hosts([NAME], kept, SystemClock(), unknown)
    assert found.addresses(NAME) == frozenset()
    assert until(kept.read, what="the file")[NAME].failing_since is not None
    (tmp_path / "hosts.json").write_text("[")
    assert kept.read() == {}


def test_finding_a8_names_that_are_looked_up_at_once_are_all_kept(tmp_path: Path) -> None:
    """What one thread writes does not lose what another has written; names that nobody uses any more go."""
    kept, names = ResolvedHosts(tmp_path), [f"pacs{number}.example" for number in range(8)]
    kept.write({"gone.example": ResolvedHost(("10.0.0.1",))})
    Hosts(names, kept, SystemClock(), lambda _: ["10.0.0.9"])
    until(lambda: kept.read() == dict.fromkeys(names, ResolvedHost(("10.0.0.9",))), what="all of them")
