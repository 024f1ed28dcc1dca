"""Evaluates models on recordings."""
