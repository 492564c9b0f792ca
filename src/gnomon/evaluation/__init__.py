"""Suites, scorers and the runner that answers held-out prompts."""
