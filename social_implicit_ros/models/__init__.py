"""Prediction models, their cards and weights; the only folder that imports onnxruntime."""

import os

# From version 1.29 on, onnxruntime looks up the telemetry host of its vendor and writes a device id
# below ~/.cache. It reads this switch against both when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
