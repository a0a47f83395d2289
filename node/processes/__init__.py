"""Child processes for work that may die of what it works on."""
