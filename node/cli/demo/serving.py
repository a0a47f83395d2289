"""The node of the demonstration: `pacsnode serve` that ends when its standard input does.

The demonstration holds the other end of that pipe, so its node never outlives it, even where it is killed by SIGKILL.
"""

from __future__ import annotations

import sys
from pathlib import Path

from node.cli import commands
from node.serve.lifeline import end_with


def main(config: Path) -> None:
    """Serve by this configuration until a signal or the end of the standard input; ends the process."""
    end_with(sys.stdin.fileno())
    commands.run(["serve", "--config", str(config), "--allow-root"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
