"""Sampling from a model: one protocol, a local engine."""
