"""Demonstrations with constraints on form that a program can verify, composed from written ones."""
