"""What models are examined by: one module a suite, each a function from its file, or none, to a `Suite`."""
