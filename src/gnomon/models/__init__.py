"""Causal language models: loading, adapters, log-probs, scores, saving."""
