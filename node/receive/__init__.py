"""The receiver process: association policy, Storage SCP, receipts on disk."""
