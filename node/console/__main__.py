"""`python -m node.console`, as the supervisor starts it."""

from node.console.process import main

raise SystemExit(main())
