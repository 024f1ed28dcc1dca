#!/usr/bin/env bash
# A researcher with a PyTorch model: docs/own_model.md from the export to metrics and a report.
# Needs torch, which `make test-training` installs into .venv.
#   test/newcomer/researcher.sh [BIN]
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${1:-$repository/.venv/bin}" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

echo "== export, as docs/own_model.md does it"
awk '/^```python/ { n++; next } /^```/ { n += 0.5; next } n == 1' "$repository/docs/own_model.md" > export.py
"$bin/python" -W ignore export.py

echo "== its card"
"$bin/make_card" my.onnx --step-s 0.4

echo "== metrics of the file and of a function, on a recording of one's own"
"$bin/python" - <<'PYTHON'
import numpy as np
import social_implicit_ros.api as si

rows = [f"{10 * t} {who} {0.5 * t:.2f} {who}" for t in range(30) for who in (1, 2)]
open("walks.txt", "w").write("\n".join(rows))
scenes = si.load_scenes("walks.txt")
for model in ("my.onnx", "default", lambda seen: np.repeat(seen[None, :, -1:], 12, axis=2)):
    print(si.evaluate(model, scenes, metrics=["minADE_1", "minFDE_1"]))
PYTHON

echo "== a report that compares it"
"$bin/evaluate_bag" walks.txt --model my.onnx --moments 0 --out report > evaluate.log
test -s report/report.html
echo "researcher: succeeded"
