"""docs/installation.md in a booted Debian 12: install, port 104, a confined plugin, reload, watchdog, stop, uninstall.

`make installs` runs it, for some minutes; `make test` does not. One machine lives through all of it, in this order.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.installs import booted
from tests.installs.booted import BootedMachine
from tests.support.images.receipts import ct
from tests.support.wait import until

CONFIG = "/etc/pacsnode/config.yaml"
PLUGIN = Path("/opt/site-plugins/looker")
CODE = """
import os
from pathlib import Path
from plugins.contract import Code, Finding, Parameters, Result, ResultStatus, Study

OTHERS = ("/var/lib/pacsnode/data/ledger.db", "/var/lib/pacsnode/data/store", "/etc/pacsnode", "/srv/ct", "/usr/bin/su")

class Looker:
    def analyse(self, study: Study, parameters: Parameters) -> Result:
        outside = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
        uid = next(int(o) + os.getuid() - int(i) for i, o, n in outside if int(i) <= os.getuid() < int(i) + int(n))
        nets = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        seen = [path for path in OTHERS if os.access(path, os.R_OK)]
        text = f"uid={uid} caps={int(status['CapEff'], 16)} nnp={status['NoNewPrivs'].strip()} nets={nets} seen={seen}"
        looked = Finding(code=Code("LOOKED", "99PACSNODE", "What was looked at"), present=False)
        return Result(status=ResultStatus.NO_FINDINGS, summary=text, findings=(looked,))
"""
MANIFEST = """
schema = 1
outputs = ["findings"]
[identity]
name = "Looker"
version = "1.0.0"
manufacturer = "pacsnode tests"
model_name = "looker"
intended_use = "Says what a plugin sees of its machine, in a test."
[runtime]
kind = "python"
entry = "looker:Looker"
deadline_seconds = 300
memory_mb = 512
[[concepts]]
value = "LOOKED"
scheme = "99PACSNODE"
meaning = "What was looked at"
"""
MORE = """
rules:
  - name: looker
    description: What a plugin sees
    when: {Modality: CT}
    choose: {where: {Modality: CT}, take: one}
    run: looker
    send: pacs
    mode: pilot
plugins:
  looker: {folder: /opt/site-plugins/looker}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedMachine]:
    """With a plugin of its own, a PACS that stores what it gets, and images to send."""
    if why := booted.missing():
        pytest.skip(why)
    with booted.booted(tmp_path_factory.mktemp("machine")) as made:
        folder = made.root / PLUGIN.relative_to("/")
        folder.mkdir(parents=True)
        (folder / "looker.py").write_text(CODE)
        (folder / "plugin.toml").write_text(MANIFEST)
        (made.root / "srv" / "pacs").mkdir(parents=True)
        (made.root / "srv" / "ct").mkdir()
        for number in range(1, 5):
            path = made.root / "srv" / "ct" / f"{number}.dcm"
            image = ct(number)
            image.file_meta = FileMetaDataset()
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image.save_as(path, enforce_file_format=True)
        made.run("systemd-run", "--unit=pacs", "storescp", "-od", "/srv/pacs", "-aet", "PACS", "11113")
        yield made


def _status(machine: BootedMachine) -> str:
    return machine.property("StatusText")


def _echoes(machine: BootedMachine) -> bool:
    return machine.tried("echoscu", "-aet", "CT1", "-aec", "PACSNODE", "127.0.0.1", "104").returncode == 0


def test_from_nothing_to_a_node_that_answers_on_port_104(machine: BootedMachine) -> None:
    """The steps of docs/installation.md. `systemctl enable --now` returns when it answers; it has no capability."""
    dry = machine.run("pacsnode", "install", "--dry-run")
    assert "would write /etc/systemd/system/pacsnode.service:" in dry
    assert machine.tried("id", "pacsnode").returncode != 0
    said = machine.run("pacsnode", "install")
    assert "pacsnode init --config /etc/pacsnode/config.yaml --port 104" in said
    asked = ["--yes", "--port", "104", "--pacs", "PACS@127.0.0.1:11113", "--time-zone", "UTC", "--sender", "CT1"]
    machine.run("pacsnode", "init", "--config", CONFIG, *asked)
    machine.run("systemctl", "enable", "--now", "pacsnode.socket", "pacsnode.service")
    assert _echoes(machine)
    assert _status(machine) == "Receives images as PACSNODE, and works."
    status = Path(f"/proc/{machine.main_process().pid}/status").read_text()
    assert {int(each, 16) for each in re.findall(r"Cap(?:Inh|Prm|Eff|Amb):\s*(\w+)", status)} == {0}
    assert "Uid:\t0" not in status
    assert "wrote" not in machine.run("pacsnode", "install")


def test_a_plugin_runs_as_a_user_of_its_own_under_the_restrictions_of_the_unit(machine: BootedMachine) -> None:
    """Images come by port 104; what the plugin saw is in the report that the PACS got."""
    config = machine.root / CONFIG.lstrip("/")
    text = config.read_text()
    text = re.sub(r"\n(rules|plugins):\n(?:[ #].*\n|\n)*", "\n", text)
    text = text.replace("identity_check: study", "identity_check: none")
    config.write_text(text + MORE)
    machine.run("pacsnode", "check", "--config", CONFIG)
    machine.run("systemctl", "reload", "pacsnode.service")
    until(lambda: machine.property("ActiveState") == "active", what="the reload")
    machine.run("storescu", "+sd", "-aet", "CT1", "-aec", "PACSNODE", "127.0.0.1", "104", "/srv/ct")
    as_node = ["setpriv", "--reuid=pacsnode", "--regid=pacsnode", "--init-groups"]
    complete = [*as_node, "pacsnode", "complete", "A1", "--config", CONFIG]
    until(lambda: machine.tried(*complete).returncode == 0, what="the study to be indexed")
    stored = machine.root / "srv" / "pacs"
    report = until(lambda: next(iter(stored.glob("SR*")), None), 300, what="a report at the PACS")
    shown = machine.run("dsrdump", "+Pl", f"/srv/pacs/{report.name}")
    plugin = machine.run("id", "-u", "pacsnode-plugin").strip()
    assert f"uid={plugin} caps=0 nnp=1" in shown, shown
    assert "nets=['lo'] seen=[]" in shown, shown


def test_what_a_running_node_writes_is_closed_to_others(machine: BootedMachine) -> None:
    """Every file and folder; but the plugins' own code in a folder that is closed."""
    found = machine.run("find", "/var/lib/pacsnode", "-perm", "/077", "-not", "-name", "plugins.zip")
    assert found == ""


def test_a_reload_that_is_refused_is_in_the_status(machine: BootedMachine) -> None:
    """And one that is accepted takes it away."""
    config = machine.root / CONFIG.lstrip("/")
    right = config.read_text()
    config.write_text(f"{right}\nrulez: []\n")
    machine.run("systemctl", "reload", "pacsnode.service")
    until(lambda: "What was saved last is refused" in _status(machine), what="the refusal in the status")
    config.write_text(right)
    machine.run("systemctl", "reload", "pacsnode.service")
    until(lambda: _status(machine).endswith("and works."), what="the end of it")


def test_what_a_security_officer_asks(machine: BootedMachine) -> None:
    """Nothing is critical in an installation as the documentation makes it."""
    said = machine.run("pacsnode", "check", "--security", "--config", CONFIG)
    assert "images, ledger and results can be read by root, pacsnode (mode 0700)" in said
    assert " 0 critical" in f" {said.splitlines()[-1]}"


def test_a_stop_lets_an_open_association_finish_and_the_next_caller_waits(machine: BootedMachine) -> None:
    """The caller who comes while it starts again is in the queue of the socket that systemd holds: none is refused."""
    codes: list[int] = []
    restart = threading.Thread(target=lambda: machine.run("systemctl", "restart", "pacsnode.service"))
    restart.start()
    while restart.is_alive():
        codes.append(machine.tried("echoscu", "-aet", "CT1", "-aec", "PACSNODE", "127.0.0.1", "104").returncode)
    restart.join()
    assert set(codes) == {0}, codes
    assert "serve.stopped" in machine.log()


def test_a_node_that_hangs_is_started_again_by_the_watchdog(machine: BootedMachine) -> None:
    """Here after ten seconds without a sign; its receivers are stopped, so that it does not answer itself."""
    folder = machine.root / "etc" / "systemd" / "system" / "pacsnode.service.d"
    folder.mkdir()
    (folder / "watchdog.conf").write_text("[Service]\nWatchdogSec=10\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "pacsnode.service")
    before = machine.property("MainPID")
    for child in machine.main_process().children():
        if "node.receive" in child.cmdline():
            child.send_signal(signal.SIGSTOP)
    until(lambda: machine.property("MainPID") not in (before, "0"), 300, what="another node")
    until(lambda: machine.property("ActiveState") == "active", 300, what="it to be ready")
    assert _echoes(machine)
    assert "watchdog" in machine.run("journalctl", "-u", "pacsnode.service", "--no-pager").lower()
    (folder / "watchdog.conf").unlink()
    folder.rmdir()


def test_uninstall_leaves_the_data(machine: BootedMachine) -> None:
    """The service is stopped, its files are gone, and the last lines say where the images are."""
    said = machine.run("pacsnode", "uninstall")
    assert "Left as they are: /var/lib/pacsnode" in said
    assert machine.tried("systemctl", "cat", "pacsnode.service").returncode != 0
    assert not _echoes(machine)
    assert list((machine.root / "var" / "lib" / "pacsnode" / "data" / "store").rglob("*.dcm"))
    assert (machine.root / CONFIG.lstrip("/")).exists()
    assert machine.run("id", "-u", "pacsnode").strip().isdecimal()
