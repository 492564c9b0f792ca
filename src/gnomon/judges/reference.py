"""How a judge is named: parsed once, before anything is loaded."""

CHECKS = "checks"
"""The verifiable checks of the prompts."""

VOTES = "votes:"
"""Goes before the file of people's votes."""

BASELINES = ("longest wins", "random")
"""What stands beside every judge; no judge may be called so."""
