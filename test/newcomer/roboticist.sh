#!/usr/bin/env bash
# A roboticist with a tracker of their own: its mapping, the node, and predictions on a topic.
# Needs rclpy: a sourced distribution, or the .venv that `make demo` makes.
#   test/newcomer/roboticist.sh [BIN]
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${1:-$repository/.venv/bin}" && pwd)
folder=$(mktemp -d)
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID="${ROS_DOMAIN_ID:-87}"
cd "$folder"
node="" replay=""
end() {
    for process in $node $replay; do kill -INT "$process" 2> /dev/null || true; done
    wait || true
    rm -rf "$folder"
}
trap end EXIT

echo "== a mapping with a mistake, which is named"
cat > mine.yaml <<'YAML'
message_type: sensor_msgs/msg/PointCloud2
agents: points
YAML
"$bin/predictor_node" --ros-args -p tracker:=mine.yaml > node.log 2>&1 &
node=$!
until grep -qs "cannot configure" node.log; do kill -0 $node; sleep 0.2; done
grep "cannot configure" node.log | head -1
kill -INT $node && wait $node
node=""

echo "== a shipped mapping, tracks and predictions"
"$bin/predictor_node" --ros-args -p tracker:=marker_array -p use_sim_time:=true \
    -r '~/tracks:=/tracks' > node.log 2>&1 &
node=$!
crowd=$("$bin/python" -c "import social_implicit_ros.recordings as r; print(r.__path__[0])")/crowd
"$bin/replay_tracks" "$crowd" --type marker_array --wait --loop > replay.log 2>&1 &
replay=$!
timeout -s INT 120 "$bin/python" - <<'PYTHON'
import rclpy
from sensor_msgs.msg import PointCloud2

rclpy.init()
listener = rclpy.create_node("listener")
found = []
listener.create_subscription(PointCloud2, "/predictor/predictions", found.append, 10)
while not any(message.width for message in found):
    rclpy.spin_once(listener, timeout_sec=1.0)
print(f"{found[-1].width * found[-1].height} predicted positions in {found[-1].header.frame_id}")
PYTHON
echo "roboticist: succeeded"
