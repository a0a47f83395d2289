"""What a plugin is granted beyond its own job: it gets that, and nothing beside it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.run import network, process, variables
from node.run.executor import AttemptLimits, ExitKind, ProcessWatch
from node.run.process import CommandLine, JobPlace
from node.run.sandbox import Isolation
from node.run.workers import WarmWorkers
from plugins.privileges import Endpoint, Privileges
from tests.support import other_users
from tests.support.other_users import ROOT

SECRET = "a 'b' \"c\" $(touch evil) `d` \\ \n ö \udcff"


@pytest.fixture(params=["the node's user", "another user"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    return other_users.apart() if request.param == "another user" else other_users.same_user()


@pytest.mark.parametrize("content", [b"x" * 100_001, b"a\0b"])
def test_a_secret_that_is_no_value_is_the_sites_fault(tmp_path: Path, content: bytes) -> None:
    """Too long for a variable, or with a NUL in it."""
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(OSError, match="more than 100000 bytes, or a NUL"):
        variables.values(Privileges(environment=(("SECRET", tmp_path / "secret"),)))


@pytest.fixture
def services() -> Iterator[list[int]]:
    """Ports of this machine on which each caller is answered with what it said, in capitals."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            with caller, caller.makefile("rb") as said:
                caller.sendall(said.read().upper())

    for each in listeners:
        threading.Thread(target=answer, args=(each,), daemon=True).start()
    yield [each.getsockname()[1] for each in listeners]
    for each in listeners:
        each.shutdown(socket.SHUT_RDWR)
        each.close()


def _run(tmp_path: Path, body: str, isolation: Isolation, granted: Privileges) -> str:
    """What a program prints that runs as a plugin."""
    folder = tmp_path / "data" / "work" / "job" / "1"
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True)
    program = tmp_path / "program.py"
    program.write_text("import os, socket, sys\n" + textwrap.dedent(body))
    line = CommandLine([str(Path(sys.executable).resolve()), "-I", str(program)], {}, [Path(sys.base_prefix), program])
    watch = ProcessWatch(threading.Event(), lambda _: None, WarmWorkers(folder))
    confined = replace(isolation, privileges=granted)
    ended = process.run(line, JobPlace(folder, folder, tmp_path / "data"), AttemptLimits(60, 2**28), watch, confined)
    said = (folder / "log.txt").read_text()
    assert (ended.ending, ended.code) == (ExitKind.EXITED, 0), (ended, said)
    return said


CALLS = """
def call(host, port):
    try:
        with socket.create_connection((host, port), 5) as service:
            service.sendall(b"hello" * 100_000)
            service.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: service.recv(65536), b""))
            print(host, port, "answered", answer == b"HELLO" * 100_000)
    except OSError as error:
        print(host, port, "denied", type(error).__name__)
"""


def test_fault_74_a_granted_service_is_reached_and_no_other_is(
    tmp_path: Path, isolation: Isolation, services: list[int]
) -> None:
    """By name and by address, each on its own port; what listens beside it cannot be reached."""
    one, other = services
    places = [("localhost", one), ("127.0.0.1", one), ("localhost", other), ("192.0.2.1", 80)]
    body = CALLS + "".join(f"call{place}\n" for place in places)
    said = _run(tmp_path, body, isolation, Privileges(network=(Endpoint("localhost", one),)))
    assert said.splitlines() == [
        f"localhost {one} answered True",
        f"127.0.0.1 {one} answered True",
        f"localhost {other} denied ConnectionRefusedError",
        "192.0.2.1 80 denied OSError",
    ]


def test_a_service_that_is_not_there_closes_the_connection(tmp_path: Path, isolation: Isolation) -> None:
    """A name that nobody knows stands for an address of the sandbox; whom TLS trusts is there for it to ask."""
    body = """
    print(socket.gethostbyname('models.invalid'), os.path.exists("/etc/ssl/certs"))
    with socket.create_connection(('models.invalid', 443)) as service:
        print(service.recv(10))
    """
    said = _run(tmp_path, body, isolation, Privileges(network=(Endpoint("models.invalid", 443),)))
    assert said.splitlines() == [f"127.0.0.2 {os.path.exists('/etc/ssl/certs')}", "b''"]


def test_variables_and_secrets_are_the_plugins_alone(tmp_path: Path, isolation: Isolation) -> None:
    """Whatever is in them is handed on as it is, and no command line has it."""
    secret = tmp_path / "secret"
    secret.write_bytes(os.fsencode(f"{SECRET}\r\n"))
    secret.chmod(0o600)
    body = """
    lines = [open(f"/proc/{pid}/cmdline").read() for pid in os.listdir("/proc") if pid.isdigit()]
    print(ascii(os.environ["SECRET"]), os.environ["REGION"], any("touch evil" in line for line in lines))
    """
    granted = Privileges(environment=(("SECRET", secret), ("REGION", "kr")))
    said = _run(tmp_path, body, isolation, granted)
    assert said.splitlines() == [f"{SECRET!a} kr False"]


def test_a_secret_that_cannot_be_read_is_the_sites_fault(tmp_path: Path, isolation: Isolation) -> None:
    """The attempt does not start, and says which file it was."""
    granted = replace(isolation, privileges=Privileges(environment=(("SECRET", tmp_path / "gone"),)))
    folder = tmp_path / "job"
    watch = ProcessWatch(threading.Event(), lambda _: None, WarmWorkers(folder))
    line = CommandLine(["/bin/true"], {}, [])
    ended = process.run(line, JobPlace(folder, folder, tmp_path), AttemptLimits(60, 2**28), watch, granted)
    assert ended.ending is ExitKind.NOT_STARTED
    assert f"{tmp_path / 'gone'}, a value for its environment: No such file" in ended.detail


def test_files_are_read_where_they_were_granted(tmp_path: Path, isolation: Isolation) -> None:
    """A folder of models, read-only; its neighbour is not there."""
    for name in ("models", "others"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    body = f"""
    print(open({str(tmp_path / "models" / "weights")!r}).read(), os.path.exists({str(tmp_path / "others")!r}))
    try:
        open({str(tmp_path / "models" / "new")!r}, "w")
    except OSError as error:
        print("denied", os.environ.get("CUDA_VISIBLE_DEVICES"))
    """
    said = _run(tmp_path, body, isolation, Privileges(readable=(tmp_path / "models",)))
    assert said.splitlines() == ["models False", "denied None"]


def test_an_address_is_added_to_the_sandboxs_own_interface() -> None:
    """What is granted by an IPv4 address is reached under it: the interface of the sandbox gets it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare")
    program = "import socket; from node.run import network; network._add_address(0, '192.0.2.1');"
    program += "print(socket.create_server(('192.0.2.1', 443)).getsockname())"
    line = [unshare, "--user", "--map-root-user", "--net", sys.executable, "-c", program]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "('192.0.2.1', 443)\n", done.stderr


def test_each_host_has_an_address_of_its_own() -> None:
    """Two hosts may have the same port; an address stands for itself."""
    found = network.routes([("a", 443), ("b", 443), ("a", 80), ("10.1.2.3", 443), ("localhost", 1)])
    assert [each.address for each in found] == ["127.0.0.2", "127.0.0.3", "127.0.0.2", "10.1.2.3", "127.0.0.1"]
    assert network.hosts(found) == "127.0.0.1 localhost\n127.0.0.2 a\n127.0.0.3 b\n"
    with pytest.raises(ValueError, match="more than 200 hosts"):
        network.routes((f"h{number}", 1) for number in range(201))


_LATE = """
import fcntl, socket, struct, threading
from node.run import network

def ask(call, form, *values):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, call, struct.pack(form, b"lo", *values))

ask(0x8916, "16sH2x4s8x", socket.AF_INET, socket.inet_aton("127.0.0.1"))
try:
    socket.create_server(("127.0.0.2", 4321))
    print("bound too early")
except OSError:
    threading.Timer(0.3, ask, (0x8914, "16sH22x", 1)).start()
    network._wait_for_loopback()
    socket.create_server(("127.0.0.2", 4321))
    print("bound")
"""


def test_the_relay_waits_until_the_sandbox_has_its_loopback_interface_up() -> None:
    """bubblewrap names its process before that, and between its address and its flag nothing else can be bound."""
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", _LATE]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert said.stdout == "bound\n", said.stderr
