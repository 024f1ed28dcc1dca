"""Social-Implicit, the model of the paper."""
