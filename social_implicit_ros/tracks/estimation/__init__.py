"""Estimates positions at a model's steps from noisy observations at the tracker's rate."""
