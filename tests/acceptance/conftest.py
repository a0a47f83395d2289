"""A PACS and a node that know each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.site import Site, destination, rule

pytest.register_assert_rewrite("tests.acceptance.in_the_pacs")
MakeSite = Callable[..., Site]


@pytest.fixture
def node_port() -> int:
    """Where the node will listen: the PACS has to know it before the node knows the PACS."""
    return free_port()


@pytest.fixture
def pacs(tmp_path: Path, node_port: int) -> Iterator[Orthanc]:
    """An empty Orthanc that lets the node query, and may send to it."""
    with Orthanc(tmp_path / "orthanc", modalities={"PACSNODE": node_port}) as orthanc:
        yield orthanc


@pytest.fixture
def make_site(tmp_path: Path, node_port: int, pacs: Orthanc) -> MakeSite:
    """`make_site(plugin, rules=…, plugins=…, **destination)`: a node whose results go to the PACS."""

    def make(
        plugin: str = "mean-hu",
        *,
        rules: Sequence[Mapping[str, object]] = (),
        plugins: Mapping[str, Mapping[str, object]] | None = None,
        **more: object,
    ) -> Site:
        target = destination(pacs.ae_title, pacs.dicom_port, **more)
        listen = {"listen": {"host": "127.0.0.1", "port": node_port}}
        return Site(tmp_path / "node", {"pacs": target}, rules or [rule(plugin)], plugins, listen)

    return make
