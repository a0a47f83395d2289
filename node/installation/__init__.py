"""The node as a service of its machine: what `pacsnode install` writes there, and `pacsnode uninstall` takes away."""
