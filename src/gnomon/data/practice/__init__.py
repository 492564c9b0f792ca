"""Prompts with constraints that a program can verify, made by the thousand for a policy to practise on."""
