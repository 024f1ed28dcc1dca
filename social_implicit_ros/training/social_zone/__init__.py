"""Social-Zone, the default model."""
