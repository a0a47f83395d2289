"""The wheel holds all that the checkout holds as data, and works where there is no checkout."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from node import __version__
from tests.support import wheel as wheels
from tests.support.ports import free_ports
from tests.support.shared_data import ROOT

DOCUMENTS = f"pacsnode-{__version__}.data/data/share/doc/pacsnode"
INFORMATION = f"pacsnode-{__version__}.dist-info"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def pacsnode(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment that has the wheel, and no checkout."""
    return wheels.without_a_checkout(built, tmp_path_factory.mktemp("environment") / "of_the_wheel") / "pacsnode"


@pytest.fixture(scope="module")
def names(built: Path) -> set[str]:
    return set(zipfile.ZipFile(built).namelist())


def in_the_checkout(*folders: str) -> set[str]:
    """Files that are of the project: what git ignores is not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(names: set[str]) -> None:
    """Fonts, tables, templates, models, examples: a new one cannot be forgotten, and nothing gets in by chance."""
    beside = {name for name in names if name.startswith((f"{INFORMATION}/", f"{DOCUMENTS}/"))}
    assert names - beside == in_the_checkout("node", "rules", "plugins")


def test_the_wheel_holds_the_pages_that_messages_name(names: set[str]) -> None:
    """docs/, README.md and the example configuration, for a machine without the internet."""
    pages = {f"{DOCUMENTS}/{name}" for name in in_the_checkout("docs", "README.md", "config.example.yaml")}
    assert {name for name in names if name.startswith(DOCUMENTS)} == pages


def test_every_licence_of_the_checkout_is_among_the_licences_of_the_wheel(built: Path, names: set[str]) -> None:
    """Ours, the font's, the network's: whoever shows licences reads them from the metadata."""
    texts = {"LICENSE", "OFL.txt", "COPYING", "NOTICE"}
    found = {name for name in in_the_checkout("LICENSE", "node", "rules", "plugins") if Path(name).name in texts}
    metadata = BytesParser().parsebytes(zipfile.ZipFile(built).read(f"{INFORMATION}/METADATA"))
    assert set(metadata.get_all("License-File", [])) == found
    assert {f"{INFORMATION}/licenses/{name}" for name in found} <= names
    assert set(re.split(r" AND ", metadata["License-Expression"])) == {"Apache-2.0", "MIT", "OFL-1.1", "0BSD"}


def test_the_first_steps_work_in_an_empty_folder(pacsnode: Path, tmp_path: Path) -> None:
    """Version, a first configuration, what it means, and the built-in plugins: all from the wheel."""
    python = pacsnode.with_name("python")
    where = wheels.run(python, "-P", "-c", "import node, plugins, rules; print(node.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(pacsnode.parents[1])
    assert wheels.run(pacsnode, "--version", folder=tmp_path) == f"pacsnode {__version__}\n"
    (port,) = free_ports(1)
    answers = ("--pacs", f"PACS@127.0.0.1:{port}", "--time-zone", "Asia/Seoul", "--yes")
    assert "config.yaml is written" in wheels.run(pacsnode, "init", *answers, folder=tmp_path)
    plain = json.loads(wheels.run(pacsnode, "check", "--json", folder=tmp_path))
    built_in = {path.parent.name.replace("_", "-") for path in ROOT.glob("plugins/*/plugin.toml")}
    assert built_in <= plain["plugins"].keys()


def test_what_is_installed_beside_pacsnode_counts_as_what_a_plugin_runs_with(pacsnode: Path, tmp_path: Path) -> None:
    """A checkout is left out of an interpreter's folders; the folder that packages are installed in is not."""
    code = (
        "import sys; from pathlib import Path; from node.run import interpreter;"
        "print(*interpreter.ask(Path(sys.executable)).imports_from)"
    )
    said = wheels.run(pacsnode.with_name("python"), "-P", "-c", code, folder=tmp_path).split()
    assert str(next(pacsnode.parents[1].glob("lib/python*/site-packages"))) in said
