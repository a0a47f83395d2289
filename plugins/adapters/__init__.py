"""Ways to make a `Plugin` of what an author has."""
