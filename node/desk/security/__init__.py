"""What a security officer asks of a site: by network, plugins, files and messages, with the line to change."""
