"""The ledger's tables: one module a migration."""
