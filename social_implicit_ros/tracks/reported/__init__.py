"""Which of the positions that a tracker reports are observations."""
