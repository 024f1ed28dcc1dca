"""Ellipses, their calibration, and how it adapts to a site at run time."""
