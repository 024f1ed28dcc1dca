"""What the node reports about itself: diagnostics, log and connections."""
