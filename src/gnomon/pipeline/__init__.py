"""Stages with content-addressed artefacts, and the road they make."""
