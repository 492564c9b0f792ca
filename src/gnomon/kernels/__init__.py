"""Exact, fast pieces of tensor work, with a plain reference beside each."""
