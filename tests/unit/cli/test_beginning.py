"""`pacsnode init`: the first configuration, and what is said while it is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config import loading
from node.config.destinations import DicomDestination
from node.desk.first_steps import writing
from node.dimse.demo_pacs import DemoPACS
from tests.support.ports import free_port
from tests.support.sites.calls import Run

ZONE = ("--time-zone", "Asia/Seoul")


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[DemoPACS]:
    """A PACS of the test's own."""
    with DemoPACS(tmp_path / "pacs", "PACS") as running:
        yield running


def test_the_answers_make_a_configuration_that_can_be_used(run: Run, tmp_path: Path, pacs: DemoPACS) -> None:
    """And what is to be entered in the PACS is said, with the address that it sees."""
    at = f"PACS@127.0.0.1:{pacs.port}"
    done = run("init", "--yes", "--pacs", at, "--sender", "CT 1@10.1.2.3", "--sender", "NO", *ZONE, "--port", "11104")
    assert (done.code, done.err) == (0, "")
    made = loading.load(tmp_path / "config.yaml")
    assert (made.node.ae_title, made.node.listen.port, made.node.time_zone) == ("PACSNODE", 11104, "Asia/Seoul")
    assert {each.ae_title: list(map(str, each.addresses or ())) for each in made.modalities.values()} == {
        "CT 1": ["10.1.2.3/32"],
        "NO": [],
    }
    assert not made.rules[0].enabled
    assert (tmp_path / "config.yaml").stat().st_mode & 0o777 == 0o640
    told = " ".join(done.out.split())
    assert f"PACS at 127.0.0.1:{pacs.port} answers" in told
    assert "Have it entered in PACS: AE title PACSNODE, host 127.0.0.1, port 11104." in told


def test_a_file_that_is_there_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    """Nothing is asked then."""
    (tmp_path / "config.yaml").write_text("mine\n")
    done = run("init", "--yes", "--pacs", f"PACS@127.0.0.1:{free_port()}", *ZONE)
    assert done.code == 2
    assert "config.yaml is there already" in done.err
    assert (tmp_path / "config.yaml").read_text() == "mine\n"


def test_a_folder_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    """No folder is made that nobody asked for."""
    path = tmp_path / "nowhere" / "config.yaml"
    done = run("init", "--yes", "--config", path, "--pacs", f"PACS@127.0.0.1:{free_port()}", *ZONE)
    assert done.code == 2
    assert f"{path} cannot be written: No such file or directory" in done.err


def test_a_pacs_that_does_not_answer_yet_is_said_and_written(run: Run, tmp_path: Path) -> None:
    """With what to ask for."""
    port = free_port()
    done = run("init", "--yes", "--pacs", f"PACS@127.0.0.1:{port}", *ZONE)
    assert done.code == 0
    assert "no connection" in done.out
    assert f"reach 127.0.0.1 port {port}" in " ".join(done.out.split())
    pacs = loading.load(tmp_path / "config.yaml").destinations["pacs"]
    assert isinstance(pacs, DicomDestination)
    assert pacs.port == port


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pacs", "10.0.0.5"), "is not a PACS: write AET@HOST:PORT"),
        (("--pacs", "PACS@10.0.0.5:0"), "0 is not a port"),
        (("--pacs", "PACS@127.0.0.1:1", "--time-zone", "Asia/Soul"), 'did you mean "Asia/Seoul"?'),
        (("--pacs", "PACS@127.0.0.1:1", "--sender", "CT1@ct1.local"), "is not a sender"),
        (("--pacs", "PACS@127.0.0.1:1", "--ae-title", "A_TITLE_THAT_IS_TOO_LONG"), "is not an AE title"),
        (("--pacs", "PACS@127.0.0.1:1", "--port", "dicom"), "dicom is not a port"),
        ((), "say it with an option"),
    ],
)
def test_an_answer_that_makes_no_sense_leaves_no_file(
    run: Run, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    """Exit code 2."""
    done = run("init", "--yes", *options)
    assert done.code == 2
    assert message in done.err
    assert not list(tmp_path.glob("*config*"))


def test_answers_that_do_not_fit_together_leave_no_file(run: Run, tmp_path: Path) -> None:
    """Two senders with one AE title."""
    senders = ("--sender", "CT1@10.1.2.3", "--sender", "CT1@10.1.2.4")
    done = run("init", "--yes", "--pacs", "PACS@127.0.0.1:1", *ZONE, *senders)
    assert done.code == 2
    assert "these answers do not fit together" in done.err
    assert not list(tmp_path.glob("*config*"))


def test_the_zone_of_the_machine_is_an_iana_name_or_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /etc/localtime points to it."""
    link = tmp_path / "localtime"
    monkeypatch.setattr(writing, "_LOCAL_TIME", link)
    assert writing.zone_of_machine() is None
    zone = tmp_path / "zoneinfo" / "Europe" / "Berlin"
    zone.parent.mkdir(parents=True)
    zone.touch()
    link.symlink_to(zone)
    assert writing.zone_of_machine() == "Europe/Berlin"
