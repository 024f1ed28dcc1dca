"""Predicts where the people around a robot will walk, with calibrated uncertainty."""
