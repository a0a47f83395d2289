"""The line of an author's code in a stack that was printed."""

from __future__ import annotations

import os

from node.run import last_line

STACK = """Stack (most recent call first):
  File "/usr/lib/python3/threading.py", line 10 in wait
  File "/opt/finder/venv/lib/site-packages/torch/net.py", line 20 in forward
  File "/opt/finder/model.py", line 30 in predict
  File "/opt/finder/finder.py", line 40 in analyse
  File "<frozen runpy>", line 198 in _run_module_as_main
"""


def test_the_innermost_frame_of_the_authors_own_is_the_line() -> None:
    """Neither of the standard library, nor of a package that is installed in the folder; "" where there is none."""
    assert last_line.line_in(STACK, "/opt/finder") == "model.py line 30, in predict"
    assert last_line.line_in(STACK, "/opt/other") == ""


def test_a_folder_with_letters_beyond_ascii_is_found() -> None:
    """As the process writes them."""
    stack = '  File "/opt/\\ud3d0/finder.py", line 40 in analyse\n'
    assert last_line.line_in(stack, "/opt/폐") == "finder.py line 40, in analyse"


def test_half_a_line_is_waited_for() -> None:
    """What is printed comes in pieces."""
    printed, pieces = bytearray(), [STACK[:150].encode(), STACK[150:].encode()]
    found = last_line.heard(printed, lambda: printed.extend(pieces.pop(0) if pieces else b""), "/opt/finder", 20)
    assert found == "model.py line 30, in predict"


def test_nothing_is_asked_of_a_process_that_would_end_by_it() -> None:
    """This one has no handler of the signal, and lives on."""
    assert not last_line.ask([os.getpid()])
