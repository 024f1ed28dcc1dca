"""From the bytes of a message to `Tracks`, by a tracker mapping."""
