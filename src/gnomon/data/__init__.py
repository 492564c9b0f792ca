"""Rows from any published shape, chat templates, splits, batches."""
