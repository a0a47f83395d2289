"""The console's process: HTTP for people and monitors. It only reads, and may die without hurting anything."""
