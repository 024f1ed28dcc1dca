#!/usr/bin/env bash
# A student without ROS, on any system: pip install, the README's example, a report on a recording.
#   test/newcomer/student.sh [PYTHON]
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${1:-python3}" -m venv venv
venv/bin/python -m pip install --quiet "$repository"

echo "== the example of the README"
sed -n '/^```python/,/^```/p' "$repository/README.md" | grep -v '^```' > example.py
venv/bin/python example.py

echo "== a report on the shipped crowd"
crowd=$(venv/bin/python -c "import social_implicit_ros.recordings as r; print(r.__path__[0])")/crowd
venv/bin/evaluate_bag "$crowd" --duration 15 --moments 0 --out report > evaluate.log
test -s report/report.html && test -s report/results.json

echo "== the commands that need ROS say so"
for command in predictor_node replay_tracks social_implicit_demo; do
    if "venv/bin/$command" 2> error.log; then echo "$command: expected a failure"; exit 1; fi
    grep -q "needs ROS 2" error.log
    if grep -q Traceback error.log; then cat error.log; exit 1; fi
done
echo "student: succeeded"
