"""Frames, corrections of the localisation, and checks of the robot's own pose."""
