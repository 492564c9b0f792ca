"""The gnomon command, one file per subcommand."""
