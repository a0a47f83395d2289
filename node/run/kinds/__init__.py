"""How each kind of plugin is run: one module a kind."""
