"""What an AI author needs, and the plugins that ship with the node."""
