"""Attempts at vendors' boxes: sent there, waited for without a thread or a slot, and ended by what comes back."""
