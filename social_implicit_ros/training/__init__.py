"""Trains, calibrates and exports models; the only folder that imports torch."""
