"""Structured reports read into the result model, ours and other vendors'.

Below the stages: what a plugin returns is read when it comes, what was sent when a person asks.
"""
