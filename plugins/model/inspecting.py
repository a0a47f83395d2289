"""What a model file says of itself: `python -P -m plugins.model.inspecting FILE` prints it as JSON, in its own process.

Exit codes: 0, it is printed · 1, the file is no model, and why is on standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from plugins.model.signature import TYPES
from plugins.onnx_session import ModelError, open_session


def main(arguments: list[str]) -> int:
    """Open it and print names, types and shapes; returns the exit code."""
    try:
        session = open_session(Path(arguments[0]))
    except ModelError as error:
        print(error, file=sys.stderr)  # noqa: T201 - its answer
        return 1
    found = {"inputs": _shown(session.get_inputs()), "outputs": _shown(session.get_outputs())}
    print(json.dumps(found))  # noqa: T201 - its answer
    return 0


def _shown(tensors: list[Any]) -> list[dict[str, Any]]:
    """Sizes that the images decide are null."""
    return [
        {
            "name": each.name,
            "type": TYPES.get(each.type, each.type),
            "shape": [size if isinstance(size, int) else None for size in each.shape],
        }
        for each in tensors
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
