"""Strict settings of each stage: every default in one place, with its unit. `config` puts them together."""
