"""What policy optimisation is paid for."""
