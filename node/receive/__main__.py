"""`python -m node.receive`, as the supervisor starts it."""

import gc

gc.disable()  # as in `node.app`; the process has it enabled when it has frozen what is loaded

from node.receive.process import main  # noqa: E402

gc.enable()
main()
