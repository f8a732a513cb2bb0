"""Export a checkpoint to ONNX, check its quality, and run it."""
