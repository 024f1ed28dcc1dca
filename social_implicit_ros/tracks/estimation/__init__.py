"""Positions at the steps of a model, from noisy observations at the tracker's rate."""
