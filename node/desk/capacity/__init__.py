"""How large a node has to be for what a site sends: figures, where they come from, and the arithmetic."""
