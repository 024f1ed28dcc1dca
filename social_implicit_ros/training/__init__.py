"""Trains, calibrates and exports models; the only room that imports torch."""
