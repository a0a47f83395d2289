"""What the node says about itself: logs, and what receivers count."""
