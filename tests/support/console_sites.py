"""The configuration of a site that tests made, as a console reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.config import in_force

NODE = {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "listen": {"host": "127.0.0.1", "port": 11112}}


def put_in_force(folder: Path, **sections: Mapping[str, Any]) -> Path:
    """The file of what is in force at a site whose data folder is `data` in this one."""
    file = folder / "data" / in_force.FILE
    value = {"node": {**NODE, "data": "data"}, **sections}
    since = "2026-03-02T08:00:00.000000Z"
    content = {"path": str(folder / "config.yaml"), "folder": str(folder), "since": since, "by": "test", "value": value}
    file.write_text(json.dumps(content))
    return file
