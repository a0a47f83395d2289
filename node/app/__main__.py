"""`python -m node.app`, as the supervisor starts it.

Nothing else stands here: a spawned child imports the main module of its parent again, unless that is a `__main__`.
"""

import gc

gc.disable()  # what is imported stays: to look through it for garbage meanwhile is an eighth of the start

from node.app.process import main  # noqa: E402 - after the collector is off

gc.enable()
raise SystemExit(main())
