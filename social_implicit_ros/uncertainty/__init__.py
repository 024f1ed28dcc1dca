"""Uncertainty ellipses, their calibration, and its adaptation to a site at run time."""
