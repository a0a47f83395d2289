"""What receivers go by, changed while a modality goes on sending: others take over, nothing is refused or lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.config import in_force
from node.ledger.event_kinds import EventKind
from node.ledger.events import Event
from tests.support import history
from tests.support.dimse.certificates import Certificates, signed_by_itself
from tests.support.dimse.raw_dimse import ASSOCIATE_AC, RawPeer, associate_rq, data_set, pixels, store_rq
from tests.support.ports import free_port
from tests.support.sites.site import Site
from tests.support.wait import until


class Running:
    """A node whose file is saved again and again."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._saved_after = 0

    def forget(self) -> None:
        """What was told so far counts no more."""
        newest = history.latest(self.site.ledger.database, 1)
        self._saved_after = newest[0].id if newest else 0

    def save(self, change: Callable[[dict[str, Any]], object]) -> None:
        """As the admin's editor does: a new file takes the old one's name."""
        self.forget()
        content = json.loads(self.site.config.read_text())
        change(content)
        part = self.site.config.with_suffix(".part")
        part.write_text(json.dumps(content, indent=2))
        part.rename(self.site.config)

    def told(self, kind: str) -> Event | None:
        """The last event of this kind since the last file was saved."""
        newest = next(iter(reversed(history.of_kind(self.site.ledger.database, kind))), None)
        return newest if newest is not None and newest.id > self._saved_after else None

    def wait_told(self, kind: str) -> Event:
        return until(lambda: self.told(kind), what=kind)  # type: ignore[return-value]

    def changed(self, change: Callable[[dict[str, Any]], object]) -> list[str]:
        """Save, wait until it is in force, and return what was told to be other."""
        self.save(change)
        told: list[str] = self.wait_told(EventKind.CONFIGURATION_IN_FORCE).detail["changed"]
        return told

    def receivers(self) -> list[psutil.Process]:
        found = []
        for each in self.site.processes():
            with suppress(psutil.NoSuchProcess):  # or a zombie
                found += [each] if "node.receive" in each.cmdline() else []
        return found

    def port(self, kind: str = "port") -> int:
        return int(json.loads((self.site.data / "listening.json").read_text())[kind])

    def connect(self, port: int | None = None) -> RawPeer:
        return RawPeer(socket.create_connection(("127.0.0.1", port or self.port()), timeout=30))

    def accepts(self, calling: bytes, port: int | None = None) -> bool:
        with self.connect(port) as peer:
            peer.send(associate_rq(calling=calling))
            return peer.receive()[0] == ASSOCIATE_AC


class Sender(threading.Thread):
    """A modality that sends one study after another, three objects each; remembers every failure."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__()
        self.number, self.port = number, port
        self.stored: list[str] = []
        self.failures: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        study = 0
        while not self.enough.is_set() and not self.failures:
            study += 1
            try:
                self._send(f"1.2.{self.number}.{study}")
            except (AssertionError, OSError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def _send(self, study: str) -> None:
        with RawPeer(socket.create_connection(("127.0.0.1", self.port), timeout=60)) as peer:
            peer.associate(calling=b"CT1")
            for item in (1, 2, 3):
                uid = f"{study}.{item}"
                content = data_set(sop_instance=uid, study=study, series=f"{study}.9", tail=pixels(20_000))
                assert peer.store(content, store_rq(sop_instance=uid)) == 0
                self.stored.append(uid)
            peer.release()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Site(tmp_path_factory.mktemp("site") / "node", {}, rules=[], node={"completion": {"quiet": "1h"}}) as site:
        yield Running(site)


def kept(site: Site) -> set[str]:
    """SOP Instance UIDs of all that lies in the data folder or is indexed."""
    until(lambda: not list((site.data / "incoming").glob("*.dcm")), what="all to be indexed")
    return {row["sop_instance_uid"] for row in site.ledger.database.query("SELECT sop_instance_uid FROM instances")}


def test_a_sender_notices_nothing_of_reloads(running: Running) -> None:
    """receivers 1, 2, 1, and another policy: two senders go on all the time; no association is refused or broken, and
    every object that was answered for is there."""
    senders = [Sender(number, running.port()) for number in (1, 2)]
    for sender in senders:
        sender.start()
    try:
        for receivers in (2, 1):
            assert running.changed(lambda content, n=receivers: content["node"].update(receivers=n)) == [
                "node.receivers"
            ]
            until(lambda n=receivers: len(running.receivers()) == n, what=f"{receivers} receivers, the old ones gone")
        changed = running.changed(lambda content: content["modalities"].update(more={"ae_title": "MORE"}))
        assert changed == ["modalities"]
        counts = [len(sender.stored) for sender in senders]
        until(lambda: all(len(s.stored) > n for s, n in zip(senders, counts, strict=True)), what="all to go on sending")
    finally:
        for sender in senders:
            sender.enough.set()
        for sender in senders:
            sender.join(90)
    assert [sender.failures for sender in senders] == [[], []]
    assert {uid for sender in senders for uid in sender.stored} <= kept(running.site)


def test_an_open_association_is_finished_by_the_receiver_that_accepted_it(running: Running) -> None:
    """Its AE title is taken out: it stores on, a new one is refused. One that had only connected is served, too."""
    [old] = until(lambda: len(found := running.receivers()) == 1 and found, what="the ones before to end")
    with running.connect() as under_way, running.connect() as connected:
        under_way.associate(calling=b"CT2")
        assert under_way.store(data_set()) == 0
        running.changed(lambda content: content["modalities"].pop("ct2"))
        assert not running.accepts(b"CT2")
        assert running.accepts(b"CT1")
        uid = "1.2.3.4"
        assert under_way.store(data_set(sop_instance=uid), store_rq(sop_instance=uid)) == 0
        connected.associate(calling=b"CT1")
        assert old in running.receivers()
        connected.release()
        under_way.release()
    until(lambda: old not in running.receivers(), what="the old receiver to end")
    until(lambda: "serve.receiver-retired" in running.site.log(), what="the supervisor to have noticed")
    assert uid in kept(running.site)


def test_a_port_changes_and_one_that_cannot_be_had_does_not(running: Running) -> None:
    """Where the new one is in use, all stays, and the alert says so; asked again (SIGHUP) when it is free, it is taken
    and the old one closed."""
    old = running.port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))  # none that the system gives to others when it is free again
        other.listen()
        taken = other.getsockname()[1]
        running.save(lambda content: content["node"]["listen"].update(port=taken))
        [problem] = running.wait_told(EventKind.RULES_REFUSED).detail["problems"]
        assert f"port {taken} is in use by another program" in problem
        assert running.accepts(b"CT1", old)
        status = " ".join(running.site.command("status").stdout.split())
        assert "the file differs from what is in force" in status
    os.kill(json.loads((running.site.data / "listening.json").read_text())["pid"], signal.SIGHUP)
    running.wait_told(EventKind.CONFIGURATION_IN_FORCE)
    assert running.port() == taken
    assert running.accepts(b"CT1")
    with pytest.raises(ConnectionRefusedError):
        running.connect(old)


def test_who_has_called_a_port_before_it_is_given_up_is_served(running: Running) -> None:
    """Twenty that the kernel has let in and no receiver has accepted yet: none of them is reset."""
    old, new = running.port(), free_port()
    [receiver] = until(lambda: len(found := running.receivers()) == 1 and found, what="the ones before to end")
    assert running.accepts(b"CT1")  # it has begun: what has not is ended by the reload, and accepts nobody
    receiver.suspend()
    callers = [running.connect(old) for _ in range(20)]
    try:
        for number, caller in enumerate(callers):
            caller.send(associate_rq(calling=b"CT1") if number % 2 == 0 else b"")  # half of them have only connected
        running.save(lambda content: content["node"]["listen"].update(port=new))
        until(lambda: _listen_port(running) == new, what="the new port to be in force")
        receiver.resume()
        for number, caller in enumerate(callers):
            if number % 2 == 0:
                assert caller.receive()[0] == ASSOCIATE_AC, f"caller {number}"
            else:
                caller.associate(calling=b"CT1")
            uid = f"1.2.5.{number}"
            assert caller.store(data_set(sop_instance=uid), store_rq(sop_instance=uid)) == 0
            caller.release()
    finally:
        receiver.resume()
        for caller in callers:
            caller.connection.close()
    running.wait_told(EventKind.CONFIGURATION_IN_FORCE)
    with pytest.raises(ConnectionRefusedError):
        running.connect(old)
    assert running.accepts(b"CT1", new)
    assert {f"1.2.5.{number}" for number in range(20)} <= kept(running.site)


def _listen_port(running: Running) -> int:
    port = in_force.read(running.site.data / in_force.FILE).configuration.node.listen.port
    assert port != "off"
    return port


def served_name(port: int) -> str:
    """The common name in the certificate that is shown there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        context.wrap_socket(connection) as secure,
    ):
        encoded = secure.getpeercert(binary_form=True)
    assert encoded is not None
    return next(name for name in ("first", "second") if name.encode() in encoded)


def test_a_new_certificate_in_the_same_file_is_taken_up(running: Running, tmp_path: Path) -> None:
    """Without a word in the configuration. Half of one is refused, and a receiver that dies meanwhile and is started
    again still shows the one in force."""
    certificate, key = signed_by_itself(tmp_path, "first", file="node")
    port = free_port()
    tls = {"port": port, "certificate": str(certificate), "key": str(key), "client_certificates": "none"}
    changed = running.changed(lambda content: content["node"]["listen"].update(tls=tls))
    assert changed == ["node.listen", "certificates"]
    assert served_name(port) == "first"
    running.forget()
    new_certificate, new_key = signed_by_itself(tmp_path, "second")
    new_certificate.replace(certificate)
    assert "cannot be used together" in running.wait_told(EventKind.RULES_REFUSED).detail["problems"][0]
    for process in (killed := running.receivers()):
        process.kill()
    until(lambda: not any(each.is_running() for each in killed), what="the kernel to have closed their files")
    assert served_name(port) == "first"
    new_key.replace(key)
    assert running.wait_told(EventKind.CONFIGURATION_IN_FORCE).detail["changed"] == ["certificates"]
    assert served_name(port) == "second"
    running.changed(lambda content: content["node"]["listen"].pop("tls"))  # its files are gone after this test


def over_tls(port: int, certificates: Certificates, name: str) -> bool:
    """Whether who shows this certificate gets an association."""
    context = ssl.create_default_context(cafile=str(certificates.folder / "authority.pem"))
    context.check_hostname = False
    context.load_cert_chain(*certificates.pair(name))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        context.wrap_socket(connection) as secure,
    ):
        peer = RawPeer(secure)
        try:
            peer.send(associate_rq(calling=b"CT1"))
            return peer.receive()[0] == ASSOCIATE_AC
        except OSError:  # the alert of TLS 1.3
            return False


def test_finding_a8_nothing_is_received_without_tls_where_the_plain_port_is_off(
    running: Running, tmp_path: Path
) -> None:
    """The old port is given up, TLS alone is served, `echo` to the node trusts its own certificate, and receivers that
    die come back like that. A certificate that is revoked meanwhile is refused as soon as the list says so."""
    certificates = Certificates.made_in(tmp_path)
    certificate, key = certificates.pair("server")
    authority = str(certificates.folder / "authority.pem")
    before, port = running.port(), free_port()
    (lists := tmp_path / "revoked").mkdir()
    certificates.list_revoked(lists / "root.crl")
    files = {"certificate": str(certificate), "key": str(key), "authorities": authority, "revoked": str(lists)}

    def tls_alone(content: dict[str, Any]) -> None:
        content["node"]["listen"] = {**content["node"]["listen"], "port": "off", "tls": {"port": port, **files}}
        content["modalities"]["ourselves"] = {"ae_title": "PACSNODE"}

    running.changed(tls_alone)
    said = json.loads((running.site.data / "listening.json").read_text())
    assert (said["port"], said["tls_port"]) == (None, port)
    with pytest.raises(ConnectionRefusedError):
        running.connect(before)
    for process in (killed := running.receivers()):
        process.kill()
    until(lambda: not any(each.is_running() for each in killed), what="the receivers to be gone")
    echoed = running.site.command("echo", f"PACSNODE@127.0.0.1:{port}")
    assert echoed.returncode == 0, echoed.stderr
    assert over_tls(port, certificates, "ct1")
    running.forget()
    certificates.revoke("ct1")
    certificates.list_revoked(lists / "root.crl")
    assert running.wait_told(EventKind.CONFIGURATION_IN_FORCE).detail["changed"] == ["certificates"]
    assert not over_tls(port, certificates, "ct1")
    assert over_tls(port, certificates, "ct2")

    def as_before(content: dict[str, Any]) -> None:  # its files are gone after this test
        content["node"]["listen"] = {**content["node"]["listen"], "port": before}
        del content["node"]["listen"]["tls"], content["modalities"]["ourselves"]

    running.changed(as_before)


_MIDST = [("node.app", "starting"), ("node.receive", "begun"), ("supervisor", "begun")]
_MORE = [("node.receive", "starting"), ("node.app", "begun"), ("supervisor", "starting")]


def test_fault_55_killed_in_the_midst_of_a_reload(running: Running, full_length: bool) -> None:
    """Whoever dies, at whatever step: in the end everybody goes by one configuration, the file's, and serves."""
    for number, (who, when) in enumerate(_MIDST + _MORE if full_length else _MIDST):
        title, before = f"NEW{number}", len(running.site.log())
        running.save(lambda content, title=title: content["modalities"].update({title: {"ae_title": title}}))
        step = "serve.receivers-starting" if when == "starting" else "receive.retiring"
        until(lambda step=step, before=before: step in running.site.log()[before:], what=step)
        if who == "supervisor":
            running.site.kill()
            running.site.restart()
        else:
            died = running.site.process(who)
            with suppress(psutil.NoSuchProcess):  # it may just have ended by itself
                if died is not None:
                    died.kill()
        until(
            lambda title=title: running.accepts(title.encode()), what=f"{title} to be served after {who} died, {when}"
        )
        assert title in in_force.read(running.site.data / in_force.FILE).configuration.modalities
        until(lambda: len(running.receivers()) == 1, what="one receiver")
        assert running.accepts(title.encode())


def test_new_receivers_that_do_not_start_leave_the_old_in_force(running: Running) -> None:
    """They die as soon as they are started; the change is refused as a whole and the old ones go on."""
    [old] = running.receivers()
    enough = threading.Event()

    def kill_new() -> None:
        while not enough.wait(0.01):
            for each in running.receivers():
                if each != old:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()

    killer = threading.Thread(target=kill_new)
    killer.start()
    try:
        running.save(lambda content: content["modalities"].update(never={"ae_title": "NEVER"}))
        problems = running.wait_told(EventKind.RULES_REFUSED).detail["problems"]
    finally:
        enough.set()
        killer.join(120)
    assert "a new receiver ended at once" in problems[0]
    until(lambda: running.receivers() == [old], what="the new ones to be gone")
    assert not running.accepts(b"NEVER")
    assert running.accepts(b"CT1")
