"""Predicts where the people around a robot will walk, with uncertainty."""
