"""The outbox: identity check, C-STORE, persisted back-off, dead letter."""
