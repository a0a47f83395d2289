"""`python -m node.app`, as the supervisor starts it.

Nothing else stands here: a spawned child imports the main module of its parent again, unless that is a `__main__`.
"""

from node.app.process import main

raise SystemExit(main())
