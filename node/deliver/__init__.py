"""The outbox: identity check, sending, persisted back-off, dead letter; how a destination is reached is `ways`."""
