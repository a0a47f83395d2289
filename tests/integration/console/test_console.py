"""The console of a whole node: what a Prometheus, a load balancer and a stranger see of it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from node.dimse.scu import echo
from tests.integration.supervisor.test_supervisor import _SERVE, Served
from tests.support.dimse.certificates import signed_by_itself
from tests.support.dimse.raw_dimse import RawPeer, associate_rq, data_set, store_rq
from tests.support.ports import free_port
from tests.support.shared_data import ROOT
from tests.support.wait import until

MONITORING = ROOT / "node" / "observe" / "prometheus"
NAME = re.compile(r"\bpacsnode_[a-z_]+")
_ENDS = ("_bucket", "_sum", "_count")


class Watched(Served):
    """A node with a console, and how to ask it."""

    def __init__(self, folder: Path) -> None:
        self._prepare(folder)
        self.console_port = free_port()
        more = {
            "console": {"port": self.console_port},
            "modalities": {"ct-1": {"ae_title": "CT1"}},
            "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}},
        }
        self.config.write_text(json.dumps(json.loads(self.config.read_text()) | more))
        self._start("-c", _SERVE, str(self.config))

    def ask(self, path: str, **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.console_port}{path}"
        return httpx.get(url, headers=headers, timeout=60, trust_env=False)

    def answers(self, path: str) -> int:
        """The status of the answer; 0 where there is none."""
        try:
            return self.ask(path).status_code
        except httpx.TransportError:
            return 0

    def value(self, sample: str) -> float | None:
        """The value of one line of /metrics; None where it is missing."""
        lines = [line for line in self.ask("/metrics").text.splitlines() if line.startswith(f"{sample} ")]
        return float(lines[0].rpartition(" ")[2]) if lines else None

    def store(self, calling: bytes, sop_instance: str, announced: str | None = None) -> int:
        with RawPeer(socket.create_connection(("127.0.0.1", self.port), timeout=60)) as peer:
            peer.associate(calling=calling)
            status = peer.store(data_set(sop_instance=sop_instance), store_rq(sop_instance=announced or sop_instance))
            peer.release()
            return status

    def child(self, module: str) -> psutil.Process | None:
        for each in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if module in each.cmdline():
                    return each
        return None


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One node for all tests of the file; CT1 has sent two objects, and one that is refused, and so has a stranger."""
    node = Watched(tmp_path_factory.mktemp("node"))
    try:
        node.wait_until_it_serves()
        until(lambda: node.answers("/readyz") == 200, what="the console")
        assert [node.store(b"CT1", f"1.2.{n}") for n in range(2)] == [0, 0]
        assert node.store(b"CT1", "1.2.3", announced="1.2.4") == 0xA900
        for stranger in range(12):
            with RawPeer(socket.create_connection(("127.0.0.1", node.port), timeout=60)) as peer:
                peer.send(associate_rq(called=b"NOBODY", calling=b"STRANGER%d" % stranger))
                peer.receive()
        yield node
    finally:
        node.end()


def served(node: Watched) -> set[str]:
    """Every metric that the node has now."""
    return set(re.findall(r"^# TYPE (\S+)", node.ask("/metrics").text, flags=re.MULTILINE))


def test_what_receivers_counted_is_there_by_sender(node: Watched) -> None:
    """Strangers are counted as one: nobody can make labels."""
    text = until(
        lambda: (
            node.ask("/metrics").text
            if node.value('pacsnode_objects_refused_total{source="ct-1",status="A900"}')
            else ""
        )
    )
    assert node.value('pacsnode_objects_received_total{source="ct-1"}') == 2
    assert node.value('pacsnode_received_bytes_total{source="ct-1"}') == 2 * len(data_set(sop_instance="1.2.0"))
    assert node.value('pacsnode_associations_refused_total{reason="called-ae-title",source="other"}') == 12
    assert node.value("pacsnode_store_seconds_count") == 2
    assert set(re.findall(r'source="([^"]*)"', text)) == {"ct-1", "other"}
    assert "STRANGER" not in text


def test_what_the_ledger_knows_is_there(node: Watched) -> None:
    """Objects become rows, in a moment; the queue behind them is empty."""
    until(lambda: node.value("pacsnode_index_seconds_count") == 2, what="the index")
    assert node.value('pacsnode_instances{status="current"}') == 2
    assert node.value('pacsnode_queue_age_seconds{destination="",queue="index"}') == 0
    assert node.value('pacsnode_queue_age_seconds{destination="pacs",queue="deliver"}') == 0
    assert node.value('pacsnode_process_up{process="node"}') == 1


def test_names_units_and_helps_are_as_prometheus_wants_them(node: Watched) -> None:
    """promtool has nothing to say."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian package prometheus)")
    text = node.ask("/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_page_names_each_metric_with_its_type_and_labels(node: Watched) -> None:
    """docs/metrics.md and the console say the same."""
    rows = re.findall(
        r"^\| `(pacsnode_\w+)` \| (\w+) \| (.*?) \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    text = node.ask("/metrics").text
    assert {name: kind for name, kind, _ in rows} == dict(re.findall(r"^# TYPE (\S+) (\w+)", text, re.MULTILINE))
    for name, _, labels in rows:
        documented = set(re.findall(r"`(\w+)`", labels))
        lines = re.findall(rf"^{name}(?:_bucket|_count|_sum)?(?:{{(.*)}})? ", text, re.MULTILINE)
        shown = {label for line in lines for label in re.findall(r'(\w+)="', line)} - {"le"}
        assert not lines or shown == documented, name


@pytest.mark.parametrize("file", ["dashboard.json", "rules.yaml"])
def test_no_query_asks_for_what_is_not_there(node: Watched, file: str) -> None:
    """Every metric in the dashboard and in the rules is one that the console has."""
    names = set(NAME.findall((MONITORING / file).read_text()))
    known = served(node)
    histograms = {f"{each}{end}" for each in known if each.endswith("_seconds") for end in _ENDS}
    assert names
    assert names - known - histograms == set()


def test_a_stranger_s_name_for_it_is_refused(node: Watched) -> None:
    """A page in a browser may send requests to this machine under a name of its own (DNS rebinding)."""
    assert node.ask("/metrics", Host="evil.example").status_code == 400
    assert node.ask("/metrics", Host=f"localhost:{node.console_port}").status_code == 200
    assert node.ask("/etc/passwd").headers["location"] == "/login?next=%2Fetc%2Fpasswd"


def test_a_connection_that_asks_nothing_is_closed(node: Watched) -> None:
    """And so is one that never ends its request; others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", node.console_port), timeout=60) as idle:
        idle.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")
        assert node.answers("/healthz") == 200
        assert idle.recv(100) == b""


def test_a_receiver_that_died_goes_on_counting(node: Watched) -> None:
    """Its counters are those of its successor: no rate is wrong."""
    before = node.value('pacsnode_objects_received_total{source="ct-1"}') or 0
    (receiver,) = node.receivers()
    receiver.kill()
    until(lambda: [each.pid for each in node.receivers()] not in ([], [receiver.pid]), what="another receiver")
    until(node._answers, what="it to answer")
    assert node.store(b"CT1", "1.2.77") == 0
    until(lambda: node.value('pacsnode_objects_received_total{source="ct-1"}') == before + 1, what="the count")
    assert len(list((node.data / "run/meters").iterdir())) == 3
    until(lambda: node.answers("/readyz") == 200, what="readiness")


def test_the_console_may_die(node: Watched) -> None:
    """Nothing waits for it, and it comes back; the ledger is as it was."""
    console = node.child("node.console")
    assert console is not None
    console.kill()
    echo(node.peer())
    assert node.store(b"CT1", "1.2.78") == 0
    until(lambda: node.answers("/healthz") == 200, what="another console")
    assert node.child("node.console") != console


def test_it_speaks_tls_and_says_why_it_cannot_start(node: Watched, tmp_path: Path) -> None:
    """A console by itself, on the data of the node: HTTPS; a port that is taken is named."""
    certificate, key = signed_by_itself(tmp_path, "localhost")
    for port, ends in ((free_port(), False), (node.console_port, True)):
        plain = json.loads((node.data / "in-force.json").read_text())
        plain["value"]["console"] = {
            "port": port,
            "tls": {"certificate": str(certificate), "key": str(key)},
        }
        file = tmp_path / f"in-force-{port}.json"
        file.write_text(json.dumps(plain))
        with (tmp_path / "log").open("wb") as log:
            command = [sys.executable, "-m", "node.console", "--in-force", str(file)]
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            if ends:
                assert process.wait(120) == 1
                assert f"port {port} is in use by another program" in (tmp_path / "log").read_text()
            else:
                assert until(lambda at=port: _over_tls(at, certificate), what="HTTPS") == 200
        finally:
            process.kill()
            process.wait(60)


def _over_tls(port: int, authority: Path) -> int:
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False  # the certificate has a name, and no address
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()
