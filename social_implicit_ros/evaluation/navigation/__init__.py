"""A robot in closed loop among recorded people: measures the benefit of a prediction."""
