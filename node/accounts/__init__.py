"""Who may use the console: local users, their sessions and failed logins, in `data/console.db`.

It is a file of its own: a login must not wait behind the index, and the ledger names people as text.
"""
