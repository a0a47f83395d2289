"""What the node asks web services: one client, each conversation within one deadline; a mail server's, too."""
