"""What boxes and web services share: attempts that are no process of this machine, and outlive the node."""
