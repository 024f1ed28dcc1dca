"""Models that predict, their cards and their weights; the only room that imports onnxruntime."""
