"""Who or what says which answer is better."""
