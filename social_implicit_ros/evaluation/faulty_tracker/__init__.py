"""A recording as ground truth, and a simulated tracker with faults that observes it."""
