"""Daily quality control of a CT scanner on a water phantom; README.md has method, limits and validation."""
