"""A plugin that takes whatever it can get: each way ends its own job."""

from __future__ import annotations

import json
import os
import time
from io import RawIOBase
from pathlib import Path

import numpy as np

from plugins.contract import Parameters, Result, Study

THING = {"value": "THING", "scheme": "99PACSNODE", "meaning": "Thing"}
FINDING = {"code": THING, "present": True}


class Greedy:
    """It never comes back."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Take too much of what `takes` says."""
        assert study.scratch is not None
        out = study.scratch.parent / "out"
        match parameters["takes"]:
            case "disk":
                _fill(study.scratch)
            case "memory":
                _allocate()
            case "holes":
                uids = [each.sop_instance_uid for each in study.series[0].volume().frames]
                _sparse(out / "a.npy", (len(uids), 2**16, 2**15))
                segment = {"number": 1, "label": "x", "category": THING, "type": THING}
                frames = [{"sop_instance_uid": uid} for uid in uids]
                _say(
                    out, [FINDING], segmentation={"labels": {"array": "a.npy"}, "frames": frames, "segments": [segment]}
                )
        _say(out, [FINDING] * 10_000)
        raise AssertionError("it has ended")


def _fill(scratch: Path) -> None:
    """Files with a name and without, as fast as they can be written."""
    kept: list[RawIOBase] = []
    block = bytes(2**20)
    while True:
        path = scratch / str(len(kept))
        kept.append(path.open("wb", buffering=0))
        if len(kept) % 2:
            path.unlink()
        for _ in range(20):
            kept[-1].write(block)


def _allocate() -> None:
    descriptor, keep = os.memfd_create("hidden"), []
    for _ in range(500):
        os.write(descriptor, bytes(2**20))
        keep.append(bytearray(os.urandom(2**10)) * 2**10)
    time.sleep(600)


def _sparse(path: Path, shape: tuple[int, ...]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 2**33)


def _say(out: Path, findings: list[dict[str, object]], **more: object) -> None:
    """Its result, without the checks of the contract."""
    document = {"schema": 1, "status": "findings", "summary": "x", "findings": findings, **more}
    (out / "result.json").write_text(json.dumps(document))
    os._exit(0)
