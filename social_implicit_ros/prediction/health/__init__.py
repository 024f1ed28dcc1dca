"""What is wrong with tracks and predictions, as rules over a snapshot."""
