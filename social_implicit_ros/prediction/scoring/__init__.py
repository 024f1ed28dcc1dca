"""Scores past predictions as soon as their future is known."""
