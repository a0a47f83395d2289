"""The author's kit: a plugin through the stages of the node, without a site, a network or a PACS."""
