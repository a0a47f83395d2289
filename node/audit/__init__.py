"""The audit trail (PS3.15 A.5): a projection of the ledger's events, for whoever has to know later who did what.

`stage` is the one writer: it reads events after its position, makes a message of each that has an audit code, and
writes these to a chain of files (`trail`). Only then it moves its position. `table` says which event is which message
of PS3.15 A.5.3, `messages` knows the XML. `sending` sends what is in the files to a syslog server, in order (`syslog`).
`checking` finds where somebody changed, removed or inserted something. Nothing waits for any of them.
"""
