"""config.yaml → frozen models; an error names file, line and YAML path."""
