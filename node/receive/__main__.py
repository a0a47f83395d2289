"""`python -m node.receive`, as the supervisor starts it."""

from node.receive.process import main

main()
