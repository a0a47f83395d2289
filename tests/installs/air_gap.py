"""Every wheel of the lock file: made into a bundle here, installed and served in a namespace without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import minisign
import pytest

from tests.support.programs.peers import require_peer

ROOT = Path(__file__).resolve().parents[2]
_COMMANDS = """
set -eu
ip link set lo up 2>/dev/null || true
cd "$1"; python=$2
mkdir first; tar -xf made.bundle -C first wheels requirements.txt
"$python" -m venv first/venv
first/venv/bin/pip install -q --no-index --no-deps --require-hashes --find-links first/wheels -r first/requirements.txt
first/venv/bin/pacsnode bundle install made.bundle --root root --public-key key.pub
rm -r first
printf '{"node": {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "listen": {"host": "127.0.0.1", "port": 11112}},
 "modalities": {"ct1": {"ae_title": "CT1"}}, "destinations": {}, "rules": []}' > config.yaml
root/current/venv/bin/pacsnode serve --config config.yaml > serve.log 2>&1 &
node=$!
for _ in $(seq 600); do [ -e data/listening.json ] && break; sleep 0.5; done
/usr/bin/storescu -aet CT1 -aec PACSNODE 127.0.0.1 11112 image.dcm
root/current/venv/bin/pacsnode check --config config.yaml > check.txt
kill $node; wait $node
"""


def test_a_machine_without_a_network_gets_a_node_that_receives(tmp_path: Path) -> None:
    """By the steps of docs/airgap.md, from the bundle alone: no package comes from anywhere else."""
    from pydicom.data import get_testdata_file

    require_peer("dcmtk")
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace with a loopback")
    keys = minisign.KeyPair.generate()
    (tmp_path / "key.sec").write_bytes(bytes(keys.secret_key))
    (tmp_path / "key.pub").write_bytes(bytes(keys.public_key))
    build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--offline"]
    subprocess.run([*build, "--out-dir", str(tmp_path / "own"), str(ROOT)], check=True)
    (own,) = (tmp_path / "own").glob("*.whl")
    create = [sys.executable, "-m", "node.cli", "bundle", "create", "made.bundle", "--source", str(ROOT)]
    subprocess.run([*create, "--wheel", str(own), "--key", "key.sec"], cwd=tmp_path, check=True)
    shutil.copyfile(str(get_testdata_file("CT_small.dcm", download=False)), tmp_path / "image.dcm")
    base = getattr(sys, "_base_executable", sys.executable)
    line = ["unshare", "--net", "sh", "-c", _COMMANDS, "sh", str(tmp_path), base]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([*(tmp_path / "data" / "store").rglob("*.dcm"), *(tmp_path / "data" / "incoming").glob("*.dcm")]) == 1
    sbom = json.loads((tmp_path / "root" / "current" / "sbom.cdx.json").read_text())
    pinned = (ROOT / "requirements.lock").read_text()
    assert all(f"{each['name'].lower()}" in pinned for each in sbom["components"])
