"""How fast images are received while a hundred consoles are open: as fast as without them, or nearly.

python -m tests.benchmarks.beside_consoles

Each console waits for events and asks for the page Now after each, as a browser does. They are one process beside the
node, on the same processors: what they cost themselves is in the figure, too. Rounds with and without take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
from pydicom.uid import ExplicitVRLittleEndian

from node.accounts import sessions, users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.clock import SystemClock
from node.dimse.scu import Peer
from node.dimse.storage_scu import StorageSCU
from tests.benchmarks.beside_backup import sent
from tests.benchmarks.figures import quantile, table
from tests.support.sites.site import Site, destination

CONSOLES = 100
IMAGES, ROUNDS = 300, 4
GOAL = 0.9
"""Of the images a second without consoles, at least."""
_CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True, slots=True)
class BesideConsoles:
    """Seconds from each C-STORE-RQ to its answer, and what consoles did meanwhile."""

    without: tuple[float, ...]
    beside: tuple[float, ...]
    pages: int
    """Shown to consoles while images were received beside them."""

    @property
    def ratio(self) -> float:
        """Images a second beside consoles, as a part of those without."""
        return (sum(self.without) / len(self.without)) / (sum(self.beside) / len(self.beside))


def measure(images: int, rounds: int, folder: Path, consoles: int = CONSOLES) -> BesideConsoles:
    """Send without a pause, in turns with consoles and without."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Site(folder, {"pacs": destination("PACS", 104)}, rules=[], sections={"console": {"port": port}})
    without: list[float] = []
    beside: list[float] = []
    pages = 0
    with made:
        tokens = _logged_in(made.data, consoles)
        numbers, one = count(), folder / "one.dcm"
        with StorageSCU(Peer("127.0.0.1", made.port, "PACSNODE", "CT1"), {(_CT, ExplicitVRLittleEndian)}) as sender:
            sent(sender, one, numbers, lambda done: done < images // 3)
            for _ in range(rounds):
                without += sent(sender, one, numbers, lambda done: done < images)
                with _Consoles(port, tokens) as opened:
                    beside += sent(sender, one, numbers, lambda done: done < images)
                pages += opened.pages
    return BesideConsoles(tuple(without), tuple(beside), pages)


def _logged_in(data: Path, consoles: int) -> list[str]:
    """A session for each."""
    accounts, now = Accounts(data), time.time()
    users.add(accounts, "bench", Role.VIEWER, SystemClock().now(), "os:bench", password=False)
    found = [sessions.begin(accounts, "bench", now, "127.0.0.1") for _ in range(consoles)]
    accounts.close()
    return found


class _Consoles:
    """A process of many browsers, while it is open."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self._command = [sys.executable, "-m", "tests.benchmarks.beside_consoles", "--browse", str(port)]
        self._tokens = tokens
        self.pages = 0

    def __enter__(self) -> _Consoles:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{' '.join(self._tokens)}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "open\n", "consoles could not be opened"
        return self

    def __exit__(self, *_: object) -> None:
        said, _none = self._process.communicate("")
        self.pages = int(said)


async def _browse(port: int, tokens: list[str]) -> None:
    """Open a console for each token, say so, and go on until the standard input ends; then print the pages."""
    shown, opened = [0], [0]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=len(tokens))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client:
        consoles = [asyncio.create_task(_console(client, token, shown, opened)) for token in tokens]
        while opened[0] < len(tokens):
            failed = [each for each in consoles if each.done()]
            assert not failed, failed[0].exception()
            await asyncio.sleep(0.05)
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for each in consoles:
            each.cancel()
        await asyncio.gather(*consoles, return_exceptions=True)
    print(shown[0], flush=True)


async def _console(client: httpx.AsyncClient, token: str, shown: list[int], opened: list[int]) -> None:
    headers = {"Cookie": f"pacsnode={token}", "X-Refresh": "1"}
    async with client.stream("GET", "/live?seen=", headers=headers) as stream:
        assert stream.status_code == 200, stream.status_code
        opened[0] += 1
        async for line in stream.aiter_lines():
            if line == "event: changed":
                answer = await client.get("/", headers=headers)
                assert answer.status_code == 200, answer.status_code
                shown[0] += 1


def show(found: BesideConsoles) -> str:
    """For people."""
    rows = [
        [name, f"{len(each) / sum(each):.1f}", *(f"{quantile(each, part) * 1000:.0f}" for part in (0.5, 0.99))]
        for name, each in {"without": found.without, f"beside {CONSOLES} consoles": found.beside}.items()
    ]
    verdict = "met" if found.ratio >= GOAL else "missed"
    said = f"{found.pages} pages were shown meanwhile; ratio {found.ratio:.2f}, goal ≥ {GOAL}: {verdict}"
    return f"{table(['received', 'images/s', 'median ms', 'p99 ms'], rows)}\n{said}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--browse", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.browse:
        asyncio.run(_browse(options.browse, sys.stdin.readline().split()))
    else:
        with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
            print(show(measure(options.images, options.rounds, Path(scratch) / "consoles")))
