"""The ways to a destination: one module a protocol, one Protocol for all."""
