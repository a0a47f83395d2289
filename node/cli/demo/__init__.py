"""`pacsnode demo`: the complete journey on one machine, with a small PACS in place of the hospital's.

Without paths a morning of eight studies whose truth is known (`morning`), else a person's own images. A folder `demo/`
in the current one holds all of it: the node's configuration and data, the PACS's files, the pictures. Images go to the
PACS and to the node, as a modality that sends twice does it; what is shown in the end was read back from the PACS. A
second run finds everything there already, and shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from node.cli.demo import morning, own_images
from node.cli.demo.interruption import Interruption
from node.cli.demo.site import DemoFolder
from node.errors import PermanentError, TransientError

FOLDER = Path("demo")
_WIDTH = 100
"""Columns where the output is no terminal, so that it is the same everywhere."""
_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def run(paths: Sequence[Path], *, console: bool = False) -> int:
    """Show the journey of these files or folders, or of a morning of phantoms; 0 only if all is as it has to be.

    `console`: leave node and console running afterwards, until Ctrl-C.
    """
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen = Console(highlight=False, width=_WIDTH)
    folder = DemoFolder(FOLDER.resolve(), has_console=console)
    try:
        with Interruption() as interruption:
            return (
                own_images.show(paths, folder, interruption, screen)
                if paths
                else morning.show(folder, interruption, screen)
            )
    except KeyboardInterrupt:
        screen.print("\nStopped; node and PACS have ended. The next run goes on from here.")
        return _INTERRUPTED
    except (PermanentError, TransientError) as error:
        screen.print(f"\n[bold red]The demo did not work:[/] {error}")
        screen.print(f"The node's log is {folder.shown(folder.log)}.")
        return 1
