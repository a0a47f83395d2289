"""Modules of mercure (https://mercure-imaging.org), as they are.

Such a module finds DICOM files named `SERIES#INSTANCE.dcm` and a `task.json` in the folder of MERCURE_IN_DIR, and
leaves DICOM files in that of MERCURE_OUT_DIR; a `result.json` there is what it has to say, and may hold a notification.
Its settings are the plugin's parameters. Unlike there, its images have pseudonyms, the folder that they are in cannot
be written, and neither can the image's own files; /tmp can. There are no `.tags` files beside the images.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.run.containers import left_files
from node.run.containers.left_files import LEFT, RESULT, TakenFiles

IN, OUT = "/tmp/data", "/tmp/output"  # noqa: S108 - of the container, as mercure has it
TASK = "task.json"
_NOTIFICATION = "__mercure_notification"
_MOST_JSON = 2**20
_MOST_SUMMARY = 1024


def prepare(folder: Path) -> None:
    """Name the images as mercure does, write `task.json`, and make the folder that the module writes into; OSError."""
    request = json.loads((folder / "request.json").read_bytes())  # the node's own
    inside = folder / "in"
    for series in request["series"]:
        for file in series["files"]:
            name = f"{series['series_instance_uid']}#{file['sop_instance_uid']}.dcm"
            (inside / file["name"]).rename(inside / name)
    for entry in list(inside.iterdir()):
        if entry.is_dir():
            entry.rmdir()
    (inside / TASK).write_text(json.dumps(_task(request), indent=1), encoding="utf-8")
    left_files.make_room(folder)


def _task(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a module may read of its task. Who the patient is, it does not say."""
    series = [each["series_instance_uid"] for each in request["series"]]
    study = request["study"]["study_instance_uid"]
    is_series = len(series) == 1
    name, settings = request["plugin"]["name"], request.get("parameters", {})
    return {
        "id": request["job"],
        "info": {
            "action": "process",
            "uid": series[0] if is_series else study,
            "uid_type": "series" if is_series else "study",
            "triggered_rules": "",
            "applied_rule": "",
            **dict.fromkeys(("patient_name", "mrn", "acc", "sender_address", "mercure_version"), ""),
            "mercure_appliance": "pacsnode",
            "mercure_server": "",
        },
        "dispatch": {},
        "process": {
            "module_name": name,
            "module_config": {"docker_tag": "", "settings": settings},
            "settings": settings,
            "retain_input_images": False,
            "output": None,
        },
        "study": {} if is_series else _study(study, request["series"]),
        "nomad_info": None,
    }


def _study(uid: str, series: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "study_uid": uid,
        "complete_trigger": "timeout",
        "complete_required_series": "",
        "creation_time": "",
        "last_receive_time": "",
        "received_series": [each.get("description", "") for each in series],
        "received_series_uid": [each["series_instance_uid"] for each in series],
        "complete_force": False,
    }


def collect(folder: Path) -> str:
    """Move its DICOM files to `out/dicom/` and write a result that names them; what there is to say, or OSError.

    Nothing of it is opened but `result.json`, as far as that is a file of reasonable size. Where the module left
    neither DICOM files nor `result.json` there is no result.
    """
    taken = TakenFiles(folder)
    taken.take(from_folders=False)  # as mercure would send them
    said = _said(folder / LEFT / RESULT)
    if not taken.names and said is None:
        return f"the module left neither DICOM files nor {RESULT} in MERCURE_OUT_DIR"
    taken.write_result("findings" if taken.names else "not_applicable", _summary(said or {}) or taken.said("module"))
    return ""


def _said(path: Path) -> dict[str, Any] | None:
    """What its `result.json` holds; None where there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            content = file.read(_MOST_JSON + 1)
        document = json.loads(content) if len(content) <= _MOST_JSON else None
        return document if isinstance(document, dict) else None
    return None


def _in_print(character: str) -> str:
    """Colours of a terminal and halves of characters are no reason to refuse what the module found."""
    return character if character.isprintable() else " "


def _summary(said: Mapping[str, Any]) -> str:
    """The notification's text, where the module wrote one: it is meant for people."""
    notification = said.get(_NOTIFICATION)
    text = notification.get("text") if isinstance(notification, dict) else notification
    plain = " ".join("".join(map(_in_print, text)).split()) if isinstance(text, str) else ""
    return plain[:_MOST_SUMMARY]
