"""A robot in closed loop among recorded people: what a prediction is worth to a planner."""
