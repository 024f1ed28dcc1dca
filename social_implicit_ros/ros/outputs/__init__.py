"""What the node publishes: one file and one class per output, imported only when asked for."""
