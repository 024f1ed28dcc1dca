"""Poses and transforms between frames."""
