"""The import contracts of pyproject.toml bite: each is broken by the import that it is there to stop."""

from __future__ import annotations

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[3]

# a small house that keeps every contract …
CLEAN = {
    "node/__init__.py": "",
    "node/app/__init__.py": "",
    "node/app/process.py": "import node.receive.scp\nimport node.run\n",
    "node/app/schedule.py": "import apscheduler.schedulers.background\n",
    "node/audit/__init__.py": "",
    "node/cli/__init__.py": "",
    "node/cli/demo/__init__.py": "",
    "node/cli/demo/site.py": "import node.ledger.studies\n",
    "node/cli/status.py": "import rich.table\nimport typer\nimport node.desk.overview\n",
    "node/commit/__init__.py": "",
    "node/config/__init__.py": "",
    "node/console/__init__.py": "",
    "node/console/metrics.py": "import prometheus_client\nimport node.desk.overview\n",
    "node/console/reader.py": "import node.ledger.database\n",
    "node/console/app.py": "import starlette.applications\n",
    "node/config/reader.py": "import ruamel.yaml\n",
    "node/desk/__init__.py": "",
    "node/desk/overview.py": "import node.ledger.studies\nimport node.run.confinement\n",
    "node/dimse/__init__.py": "",
    "node/dimse/scu.py": "import pynetdicom\n",
    "node/receive/__init__.py": "",
    "node/receive/scp.py": "from pynetdicom import AE\nimport node.dimse.scu\n",
    "node/index.py": "import node.ledger.studies\n",
    "node/retain.py": "import node.ledger.studies\n",
    "node/route.py": "import rules.engine\n",
    "node/run/__init__.py": "",
    "node/run/confinement.py": "",
    "node/run/stage.py": "import plugins.contract\n",
    "node/results/__init__.py": "",
    "node/results/sr.py": "from highdicom.sr import MeasurementReport\n",
    "node/deliver/__init__.py": "",
    "node/deliver/outbox.py": "import node.ledger.studies\n",
    "node/deliver/ways/__init__.py": "",
    "node/deliver/ways/dimse.py": "import node.dimse.scu\n",
    "node/fetch.py": "import node.dimse.scu\n",
    "node/notify.py": "import smtplib\n",
    "node/kit/__init__.py": "",
    "node/kit/small_node.py": "import node.run.stage\nimport node.results.sr\n",
    "node/ledger/__init__.py": "",
    "node/ledger/database.py": "",
    "node/ledger/studies.py": "import sqlite3\nimport sqlite_utils\n",
    "node/release/__init__.py": "",
    "node/release/sbom.py": "import cyclonedx.model\nimport packageurl\n",
    "node/release/signatures.py": "import minisign\n",
    "node/observe/__init__.py": "",
    "node/observe/receiver_meters.py": "import prometheus_client\n",
    "node/serve/__init__.py": "",
    "node/serve/http.py": "import starlette.types\nimport uvicorn\n",
    "rules/__init__.py": "",
    "rules/engine.py": "import re2\n",
    "node/web/__init__.py": "",
    "node/web/client.py": "import httpx\n",
    "plugins/__init__.py": "",
    "plugins/contract.py": "import numpy\n",
    "plugins/imaging.py": "import highdicom.spatial\n",
    "plugins/onnx_session.py": "import onnxruntime\n",
}

# … and for each contract one line that breaks it
BREAKS = [
    ("rules know neither node nor plugins", "rules/engine.py", "import node.route"),
    ("rules are pure", "rules/engine.py", "import pydicom"),
    ("plugins know neither node nor rules", "plugins/imaging.py", "import rules.engine"),
    ("the stages never import each other", "node/run/stage.py", "import node.results.sr"),
    ("the receiver does not know the ledger", "node/receive/scp.py", "import node.ledger.studies"),
    ("pynetdicom only", "node/deliver/outbox.py", "from pynetdicom import AE"),
    ("delivering speaks DIMSE", "node/deliver/outbox.py", "import node.dimse.scu"),
    ("highdicom only", "plugins/contract.py", "import highdicom.spatial"),
    ("SQLite only", "node/index.py", "import sqlite3"),
    ("YAML only", "rules/engine.py", "from ruamel.yaml import YAML"),
    ("apscheduler only", "node/app/process.py", "import apscheduler.schedulers.background"),
    ("onnxruntime only", "node/run/stage.py", "import onnxruntime"),
    ("httpx only", "node/app/process.py", "import httpx"),
    ("minisign only", "node/cli/status.py", "import minisign"),
    ("CycloneDX only", "node/release/signatures.py", "import cyclonedx.model"),
    ("Starlette and uvicorn only", "node/desk/overview.py", "import starlette.applications"),
    ("prometheus-client only", "node/run/stage.py", "import prometheus_client"),
    ("the console reaches", "node/console/app.py", "import node.ledger.studies"),
    ("the command reaches", "node/cli/status.py", "import node.ledger.studies"),
    ("the command reaches", "node/cli/status.py", "import node.run.stage"),
    ("node.desk knows", "node/desk/overview.py", "import node.run.stage"),
    ("node.desk knows", "node/desk/overview.py", "import node.cli.status"),
    ("the kit runs the stages", "node/run/stage.py", "import node.kit.small_node"),
    ("typer and rich only", "node/desk/overview.py", "import rich.table"),
    ("typer and rich only", "node/ledger/studies.py", "import typer"),
]


def lint(folder: Path, files: dict[str, str]) -> tuple[set[str], str]:
    """Hold files against the project's contracts; return the names of the broken ones and all output."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    configuration = (ROOT / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(configuration[configuration.index("[tool.importlinter]") :])
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": "."}, check=False)  # type: ignore[arg-type]
    verdicts = re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)
    assert verdicts, done.stdout + done.stderr
    return {name for name, verdict in verdicts if verdict == "BROKEN"}, done.stdout


def test_a_house_in_order_keeps_every_contract(tmp_path: Path) -> None:
    """Each library in its own room and every stage on its own: nothing is broken."""
    broken, output = lint(tmp_path, CLEAN)
    assert broken == set(), output


def test_every_contract_is_tried_here() -> None:
    """A contract added to pyproject.toml gets its line in this file."""
    names = re.findall(
        r'^name = "(.+)"', (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2], re.M
    )
    untried = [name for name in names if not any(name.startswith(start) for start, _, _ in BREAKS)]
    assert untried == []


@pytest.mark.parametrize(
    ("contract", "file", "line"), BREAKS, ids=[f"{contract}: {line}" for contract, _, line in BREAKS]
)
def test_a_forbidden_import_breaks_its_contract(tmp_path: Path, contract: str, file: str, line: str) -> None:
    """One forbidden import in one file breaks the contract of that name."""
    broken, output = lint(tmp_path, {**CLEAN, file: f"{CLEAN[file]}{line}\n"})
    assert [name for name in broken if name.startswith(contract)], output


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each can be read, and moved, once those below it are known; imports for types alone, and late ones, count too."""
    graph = grimp.build_graph("node", "rules", "plugins")
    below = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(below).prepare()


def test_the_plugin_contract_needs_the_standard_library_and_numpy_only() -> None:
    """What `plugins.contract` loads beyond Python itself is numpy: an author needs no DICOM library to use it."""
    program = "import sys, plugins.contract; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", program]
    loaded = set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    installed = {name for name in packages_distributions() if not name.startswith("_")}
    assert (loaded & installed) - {"plugins", "numpy"} == set()
