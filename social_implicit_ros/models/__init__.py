"""Models that predict, their cards and their weights; the only room that imports onnxruntime."""

import os

# From version 1.29 on, onnxruntime looks up its maker's telemetry host and writes a device id below
# ~/.cache. This is its own switch, which it reads when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
