"""podman with a store of its own for each process of the tests, and a site whose plugins are containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.ledger.job import Job
from node.run.containers import engine
from node.run.stage import RunStage
from tests.integration.run.conftest import settle, start, workers
from tests.support.programs.peers import require_peer
from tests.support.programs.podman import PodmanStore, podman_store
from tests.support.sites.container_room import ContainerRoom
from tests.support.sites.container_site import ContainerSite

__all__ = ["settle", "start", "workers"]


@pytest.fixture(scope="session")
def _store() -> Iterator[PodmanStore]:
    require_peer("podman")
    with podman_store() as store:
        yield store


@pytest.fixture
def podman(_store: PodmanStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodmanStore]:
    """The store, as the node finds it; each test leaves nothing of a container in it."""
    for name, value in _store.variables.items():
        monkeypatch.setenv(name, value)
    engine.found.cache_clear()
    yield _store
    engine.found.cache_clear()


@pytest.fixture
def room(tmp_path: Path, podman: PodmanStore) -> ContainerRoom:
    return ContainerRoom(tmp_path, podman)


@pytest.fixture
def site(tmp_path: Path, podman: PodmanStore) -> ContainerSite:
    return ContainerSite(tmp_path, podman)


@pytest.fixture
def outcome(site: ContainerSite, start: Callable[..., RunStage], settle: Callable[..., Job]) -> Callable[..., Job]:
    """Runs a job of a container whose shell does this; the job as it is then. Nothing of the container is left."""

    def run(script: str, attempts: int = 1, **manifest: Any) -> Job:
        job = site.shell_job(script, **manifest)
        settled = settle(start(), job, attempts)
        assert site.podman.left() == []
        return settled

    return run
