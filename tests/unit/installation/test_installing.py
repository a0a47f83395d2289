"""`pacsnode install` and `uninstall` below a folder: what is written, what is left alone, what systemd says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from node.errors import PermanentError, UsageError
from node.installation import places, units
from node.installation.making import install
from node.installation.removal import uninstall
from tests.support.shared_data import ROOT

CONFIG = """
node:
  time_zone: UTC
  data: /srv/images
  listen: {host: 10.0.0.5, port: 104, tls: {port: 2762, certificate: c, key: k, client_certificates: none}}
"""
FILES = (places.SERVICE, places.SOCKET, places.JOURNAL)


@pytest.fixture(autouse=True)
def _no_apparmor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "APPARMOR_SWITCH", tmp_path / "no-such-switch")


def _install(root: Path, *, dry_run: bool = False) -> list[str]:
    return list(install(root, dry_run=dry_run))


def _tree(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


def test_a_dry_run_writes_nothing_and_shows_all(tmp_path: Path) -> None:
    """The text of each file is what is then written."""
    shown = "\n".join(_install(tmp_path, dry_run=True))
    assert list(tmp_path.iterdir()) == []
    _install(tmp_path)
    for path in FILES:
        assert f"would write {path}:" in shown
        for line in places.below(tmp_path, path).read_text().splitlines():
            assert f"    {line}" in shown


def test_it_can_be_run_again_and_leaves_alone_what_a_person_changed(tmp_path: Path) -> None:
    """What nobody touched is written anew when it is to be another; a file of a person's own is as it was."""
    service, socket = (places.below(tmp_path, each) for each in (places.SERVICE, places.SOCKET))
    _install(tmp_path)
    before = _tree(tmp_path)
    again = _install(tmp_path)
    assert _tree(tmp_path) == before
    assert not [line for line in again if line.startswith(("wrote", "made", "set"))]
    service.write_text("[Service]\n# mine\n")
    (places.below(tmp_path, places.CONFIG)).write_text(
        CONFIG.replace(", tls: {port: 2762, certificate: c, key: k", "").replace(", client_certificates: none}}", "}")
    )
    said = _install(tmp_path)
    assert f"{places.SERVICE} was changed by a person and is left as it is (see --dry-run)" in said
    assert f"wrote {places.SOCKET} again, as it is to be now" in said
    assert service.read_text() == "[Service]\n# mine\n"
    assert "ListenStream=10.0.0.5:104\n" in socket.read_text()


def test_uninstall_takes_away_what_install_wrote_and_nothing_else(tmp_path: Path) -> None:
    """Images and configuration stay, and so does a unit that a person changed; the last lines say where they are."""
    _install(tmp_path)
    image, config = (places.below(tmp_path, each) for each in (places.DATA / "data" / "image", places.CONFIG))
    image.parent.mkdir()
    for each in (image, config):
        each.write_text("of the hospital")
    places.below(tmp_path, places.JOURNAL).write_text("# mine\n")
    before = _tree(tmp_path)
    assert [line for line in uninstall(tmp_path, dry_run=True) if line.startswith("would remove")]
    assert _tree(tmp_path) == before
    said = list(uninstall(tmp_path, dry_run=False))
    left = {str(each.relative_to("/")) for each in (places.DATA / "data" / "image", places.CONFIG, places.JOURNAL)}
    assert set(_tree(tmp_path)) == left
    assert f"{places.JOURNAL} was changed by a person and is left as it is" in said
    assert any(str(places.DATA) in line and "Left" in line for line in said)
    with pytest.raises(UsageError, match="nothing here was written"):
        list(uninstall(tmp_path, dry_run=False))


def test_what_others_may_not_read_is_closed_to_them(tmp_path: Path) -> None:
    """Folders of images, configuration and secrets; one that is open already is closed."""
    places.below(tmp_path, places.DATA).mkdir(parents=True, mode=0o755)
    said = _install(tmp_path)
    for folder in places.FOLDERS:
        mode = stat.S_IMODE(places.below(tmp_path, folder.path).stat().st_mode)
        assert (mode & stat.S_IRWXO, mode) == (0, folder.mode)
    assert f"set {places.DATA} to pacsnode:pacsnode, 0700" in said


def test_a_record_that_cannot_be_read_stops_it(tmp_path: Path) -> None:
    """Rather than write over a file of which nobody knows whose it is."""
    _install(tmp_path)
    places.below(tmp_path, places.RECORD).write_text(json.dumps([]))
    with pytest.raises(PermanentError, match=r"installed\.json is not what"):
        _install(tmp_path)


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how, and that --dry-run is for everybody."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in (install, uninstall):
        with pytest.raises(UsageError, match=r"sudo pacsnode .*--dry-run"):
            list(command(Path("/"), dry_run=False))


def test_a_program_that_the_service_cannot_see_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a home folder, which ProtectHome= hides; where others may not go; that is not there."""
    monkeypatch.setattr(places, "program", lambda: Path("/", "root", "venv/bin/pacsnode"))
    assert any("CAUTION" in line and "/opt" in line for line in _install(tmp_path, dry_run=True))
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "pacsnode").touch()
    closed.chmod(0o700)
    monkeypatch.setattr(places, "program", lambda: closed / "bin" / "pacsnode")
    assert any("cannot reach" in line for line in _install(tmp_path, dry_run=True))


def test_the_units_follow_the_configuration(tmp_path: Path) -> None:
    """Each port of node.listen, the folders that the node writes into; and Ubuntu's switch."""
    from node.config.from_values import validated

    node = {
        "time_zone": "UTC",
        "data": "/srv/images",
        "listen": {
            "host": "::",
            "port": 104,
            "tls": {"port": 2762, "certificate": "c", "key": "k", "client_certificates": "none"},
        },
    }
    configuration = validated({"node": node, "backup": {"to": "/mnt/backup", "at": "03:00"}}, tmp_path)
    made = {each.path: each.text for each in units.wanted(configuration, Path("/opt/p/bin/pacsnode"), apparmor=True)}
    assert re.findall("ListenStream=(.*)", made[places.SOCKET]) == ["[::]:104", "[::]:2762"]
    assert re.findall("ReadWritePaths=(.*)", made[places.SERVICE]) == ["/mnt/backup", "/srv/images"]
    assert "AppArmorProfile=-pacsnode\n" in made[places.SERVICE]
    assert "userns," in made[places.APPARMOR]
    assert "ExecStart=/opt/p/bin/pacsnode serve --config /etc/pacsnode/config.yaml\n" in made[places.SERVICE]


@pytest.mark.parametrize(
    ("listen", "told"), [({"port": 0}, "node.listen.port is 0"), ({"host": "node.example"}, "not on names")]
)
def test_what_systemd_could_not_listen_on_is_refused(tmp_path: Path, listen: dict[str, object], told: str) -> None:
    """With the key that says so."""
    from node.config.from_values import validated

    configuration = validated({"node": {"time_zone": "UTC", "listen": listen}}, tmp_path)
    with pytest.raises(UsageError, match=told):
        list(units.wanted(configuration, Path("/opt/pacsnode"), apparmor=False))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The service as it is installed, with a program that there is."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there (Debian: systemd)")
    [service, socket, *_] = units.wanted(None, Path("/bin/true"), apparmor=False)
    (tmp_path / "pacsnode.socket").write_text(socket.text)
    path = tmp_path / "pacsnode.service"
    path.write_text(service.text)
    return path


def _analyze(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_systemd_understands_every_line(unit: Path) -> None:
    """Of both units; a key that it does not know would be ignored at the site."""
    code, said = _analyze("verify", "--recursive-errors=no", unit, unit.with_name("pacsnode.socket"))
    assert (code, [line for line in said.splitlines() if "pacsnode" in line]) == (0, [])


def test_the_figure_of_systemd_is_the_one_of_the_documentation(unit: Path) -> None:
    """Lower is better; what it counts against the unit is said there with the reason."""
    said = _analyze("--offline=true", "security", unit)[1]
    [figure] = re.findall(r"Overall exposure level for pacsnode\.service: ([0-9.]+)", said)
    assert f"`systemd-analyze security` gives the unit **{figure}**" in (ROOT / "docs" / "security.md").read_text()
    assert float(figure) <= 6.6
