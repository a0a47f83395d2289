"""Jobs: each is claimed, its plugin runs in another process on copies, what comes back is checked and kept."""
