"""The data folder: where each file lies, how it becomes durable, and what says that it is whole."""
