"""`python -m node.receive`, as the supervisor starts it."""

import gc

gc.disable()  # as in `node.app`

from node.receive.process import main  # noqa: E402 - after the collector is off

gc.enable()
main()
