"""Judgements of people: an application that collects them, and what it keeps of each."""
