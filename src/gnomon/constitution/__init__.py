"""A written set of principles: critique, revision, comparison."""
