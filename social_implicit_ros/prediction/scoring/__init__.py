"""Scores past predictions as soon as their ground truth is known."""
