"""The set-up scripts under `.ci/`: what they leave behind, and what they say when they cannot go on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PEERS, ENV = ROOT / ".ci" / "peers", ROOT / ".ci" / "env"


def program(folder: Path, name: str, text: str) -> None:
    """Put a small shell program into a folder that stands first on the PATH of a test."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


class Apt:
    """A package manager that only writes down what it was asked, and which policy-rc.d ruled at that moment."""

    def __init__(self, folder: Path, install: str = "exit 0") -> None:
        self.bin, self.policy, self.seen = folder / "bin", folder / "policy-rc.d", folder / "seen"
        program(self.bin, "apt-cache", '[ "$2" != unheard-of ]')
        program(self.bin, "systemctl", f'echo "systemctl $*" >>{self.seen}')
        program(
            self.bin,
            "apt-get",
            f"""echo "$*" >>{self.seen}
case "$*" in *" install "*) {self.policy} orthanc start; echo "policy $?" >>{self.seen}; {install} ;; esac""",
        )

    def run(self, *packages: str) -> subprocess.CompletedProcess[str]:
        """Run the part of `.ci/peers` that installs."""
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", PEERS, "install", self.policy, *packages],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
        )

    def files(self) -> set[str]:
        """What lies beside policy-rc.d."""
        return {path.name for path in self.policy.parent.glob("policy-rc.d*")}


def test_no_daemon_may_start_while_packages_are_installed(tmp_path: Path) -> None:
    """While apt installs, policy-rc.d answers 101; afterwards there is none, as before, and Orthanc is not enabled."""
    apt = Apt(tmp_path)
    done = apt.run("dcmtk", "orthanc")
    assert done.returncode == 0, done.stderr
    seen = apt.seen.read_text()
    assert seen.index("update") < seen.index("install -y --no-install-recommends dcmtk orthanc")
    assert "policy 101" in seen
    assert "systemctl disable orthanc" in seen
    assert apt.files() == set()


@pytest.mark.parametrize(
    "install", ["exit 0", "exit 100", "kill -TERM $PPID; exit 1"], ids=["well", "apt-fails", "killed"]
)
def test_a_policy_that_was_there_is_there_afterwards(tmp_path: Path, install: str) -> None:
    """The site's own policy-rc.d, its mode included, survives a good installation, a failed and a terminated one."""
    apt = Apt(tmp_path, install)
    apt.policy.write_text("#!/bin/sh\nexit 104\n")
    apt.policy.chmod(0o700)
    apt.run("dcmtk")
    assert "policy 101" in apt.seen.read_text()
    assert apt.policy.read_text() == "#!/bin/sh\nexit 104\n"
    assert apt.policy.stat().st_mode & 0o777 == 0o700
    assert apt.files() == {"policy-rc.d"}


def test_what_a_killed_run_left_is_mended_by_the_next(tmp_path: Path) -> None:
    """After kill -9 our policy stands in the place of the site's; the next run puts the site's back."""
    apt = Apt(tmp_path, "kill -KILL $PPID")
    apt.policy.write_text("the site's own\n")
    assert apt.run("dcmtk").returncode != 0
    assert apt.policy.read_text() != "the site's own\n"
    Apt(tmp_path).run("dcmtk")
    assert apt.policy.read_text() == "the site's own\n"
    assert apt.files() == {"policy-rc.d"}


def test_trouble_with_apt_is_a_line_not_a_crash(tmp_path: Path) -> None:
    """A package that the distribution lacks is named and the others are installed; a failing apt is quoted."""
    apt = Apt(tmp_path, "echo E: no space left >&2; exit 100")
    done = apt.run("dcmtk", "unheard-of")
    assert done.returncode == 1
    assert "apt knows no package unheard-of" in done.stderr
    assert "E: no space left" in done.stderr
    assert "install -y --no-install-recommends dcmtk\n" in apt.seen.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what `.ci/env` reads, with a PATH that holds no Python yet: `bin/`."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ENV, tmp_path / ".ci" / "env")
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text(name)
    for tool in ("sh", "cat", "cksum", "dirname", "rm", "mkdir", "chmod", "cp"):
        found = shutil.which(tool)
        assert found
        program(tmp_path / "bin", tool, f'exec {found} "$@"')
    return tmp_path


def env(checkout: Path, kind: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `.ci/env` in that copy."""
    return subprocess.run(
        [checkout / ".ci" / "env", kind],
        capture_output=True,
        text=True,
        env={"PATH": str(checkout / "bin"), **variables},
        timeout=60,
        check=False,
    )


def fake_python(checkout: Path, name: str, version: str) -> None:
    """A Python that writes down what it is asked and whose `-m venv` makes an environment with itself in it."""
    program(
        checkout / "bin",
        name,
        f"""echo "{name} $*" >>{checkout}/asked
case "$*" in
    *version_info*) echo {version} ;;
    *"venv .venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *"$FAILS"*) [ -z "$FAILS" ] || exit 1 ;;
esac""",
    )


def asked(checkout: Path) -> str:
    """What the fake Pythons were asked since the last look."""
    text = (checkout / "asked").read_text()
    (checkout / "asked").write_text("")
    return text


def test_without_a_suitable_python_the_message_says_what_is_needed(checkout: Path) -> None:
    """Only an old Python here: exit status 1, and the versions that would do."""
    fake_python(checkout, "python3", "3.9")
    done = env(checkout, "runtime")
    assert done.returncode == 1
    assert "python3 is Python 3.9" in done.stderr
    assert "needs Python 3.11, 3.12 or 3.13 with venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_newest_suitable_python_is_taken(checkout: Path) -> None:
    """3.13 stands before 3.11; one that is named stands before both."""
    fake_python(checkout, "python3.11", "3.11")
    fake_python(checkout, "python3.13", "3.13")
    fake_python(checkout, "mine", "3.12")
    assert env(checkout, "runtime").returncode == 0
    assert "python3.13 -m venv .venv" in asked(checkout)
    shutil.rmtree(checkout / ".venv")
    assert env(checkout, "runtime", PYTHON="mine").returncode == 0
    assert "mine -m venv .venv" in asked(checkout)


def test_a_second_time_installs_nothing(checkout: Path) -> None:
    """Runtime, development, then both again, which only look; a changed pyproject.toml installs the project alone."""
    fake_python(checkout, "python3.11", "3.11")
    assert env(checkout, "runtime").returncode == 0
    first = asked(checkout)
    assert "-r requirements.lock" in first
    assert "-e ." in first
    assert env(checkout, "dev").returncode == 0
    second = asked(checkout)
    assert "-m venv" not in second
    assert "-r requirements-dev.lock" in second
    assert [env(checkout, kind).stderr for kind in ("runtime", "dev")] == ["", ""]
    assert "install" not in asked(checkout)
    (checkout / "pyproject.toml").write_text("changed")
    assert env(checkout, "dev").returncode == 0
    third = asked(checkout)
    assert "-e ." in third
    assert "-r requirements" not in third


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_another_lock_file_makes_the_environment_anew(checkout: Path, lock: str) -> None:
    """What the old lock file brought and the new one does not name is gone afterwards."""
    fake_python(checkout, "python3.11", "3.11")
    assert env(checkout, "dev").returncode == 0
    asked(checkout)
    left_over = checkout / ".venv" / "left-over"
    left_over.write_text("")
    (checkout / lock).write_text("changed")
    assert env(checkout, "dev").returncode == 0
    assert "-m venv .venv" in asked(checkout)
    assert not left_over.exists()


def test_a_half_made_environment_is_made_anew(checkout: Path) -> None:
    """An installation that broke off leaves no stamp, says so, and the next run begins from nothing."""
    fake_python(checkout, "python3.11", "3.11")
    broken = env(checkout, "runtime", FAILS="-r requirements.lock")
    assert broken.returncode == 1
    assert "could not be installed" in broken.stderr
    half = checkout / ".venv" / "half"
    half.write_text("")
    asked(checkout)
    assert env(checkout, "runtime").returncode == 0
    assert "-m venv .venv" in asked(checkout)
    assert not half.exists()
