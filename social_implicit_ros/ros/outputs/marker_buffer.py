"""A MarkerArray that is serialised once and whose numbers are rewritten in place.

rclpy turns a thousand marker objects into bytes in 14 ms, at every tick. All that differs from
tick to tick are numbers, and these stand at places that do not move. So the array is serialised
once from templates; the places are found by looking for marks put into the templates, which works
with whatever fields a distribution's Marker has; and each tick writes numbers and publishes bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from visualization_msgs.msg import Marker, MarkerArray

#: Values that nothing else in the bytes holds; each marks one kind of place. Padding may hold
#: anything, these values of an earlier array included, but has less than 8 bytes: so integers are
#: marked in pairs, the second one so many words after the first.
_MARK_STAMP = 1_592_653_589
_MARK_NANOSEC = 793_238_462
_MARK_ID = 1_979_323_846
_MARK_ACTION = 1_643_383_279
_MARK_POSE = 2.643383279e202
_MARK_POINT = 5.028841971e203

#: Bytes before the content that name the encoding (CDR), and the count of markers after it.
_HEADER_BYTES = 4
_COUNT_BYTES = 4


class MarkerBuffer:
    """Room for the markers of several agents, every agent with the same markers in turn.

    Write through the methods, then take `message`. A marker is addressed by agent and by its
    place among an agent's templates.
    """

    def __init__(self, templates: Sequence[Marker], n_agents: int) -> None:
        """Serialises the templates once per agent.

        Args:
            templates: an agent's M markers; text, type, scale and lifetime stay as they are
                where they are not rewritten. Markers with points keep their number of points.
            n_agents: how many agents there is room for.

        Raises:
            ValueError: the serialised form does not hold the marks where they are expected.
        """
        self.n_agents = n_agents
        self.n_markers = len(templates)
        content = _serialise_marked(templates, n_agents)
        # Doubles are aligned to the content, which follows the header: so that starts at byte 8.
        self._bytes = np.zeros(8 + -(-len(content) // 8) * 8, dtype=np.uint8)
        self._bytes[8 - _HEADER_BYTES : 8 + len(content) - _HEADER_BYTES] = content
        self._int32 = self._bytes[8:].view(np.int32)
        self._float32 = self._bytes[8:].view(np.float32)
        self._float64 = self._bytes[8:].view(np.float64)
        shape = (n_agents, self.n_markers)
        int32 = self._int32
        stamps = np.flatnonzero((int32[:-1] == _MARK_STAMP) & (int32[1:] == _MARK_NANOSEC))
        # The fields of Marker run: id, type, action.
        ids = np.flatnonzero((int32[:-2] == _MARK_ID) & (int32[2:] == _MARK_ACTION))
        poses = np.flatnonzero(self._float64 == _MARK_POSE)
        first_points = np.flatnonzero(self._float64 == _MARK_POINT)
        n_points = [len(template.points) for template in templates]
        found = [len(places) for places in (stamps, ids, poses, first_points)]
        n_all, n_lines = n_agents * self.n_markers, n_agents * sum(map(bool, n_points))
        if found != [n_all, n_all, n_all, n_lines]:
            raise ValueError(
                f"{found} marks found in {n_all} serialised markers, {n_lines} of them with "
                "points: this middleware does not serialise to CDR"
            )
        self._stamps = stamps
        self._ids, self._poses = ids.reshape(shape), poses.reshape(shape)
        self._points = dict(
            zip(
                [place for place, n in enumerate(n_points) if n],
                first_points.reshape(n_agents, -1).T,
                strict=True,
            )
        )
        self._n_points = n_points
        self._float64[self._poses] = 0.0
        self._float64[first_points] = 0.0
        #: Where the record after each agent begins, in bytes of the content.
        starts = self._stamps.reshape(shape)[:, 0] * 4
        end = len(content) - _HEADER_BYTES
        self._ends = np.append(starts[1:], end)

    def write_stamp(self, stamp_ns: int) -> None:
        """Stamps every marker."""
        self._int32[self._stamps] = stamp_ns // 1_000_000_000
        self._int32[self._stamps + 1] = stamp_ns % 1_000_000_000

    def write_ids(self, ids: NDArray[np.int32]) -> None:
        """Numbers the markers of the first agents; (N, M) ids."""
        self._int32[self._ids[: len(ids)]] = ids

    def write_actions(self, actions: NDArray[np.int32]) -> None:
        """Says of the first agents whether to add or to delete; (N,) actions."""
        self._int32[self._ids[: len(actions)] + 2] = actions[:, None]

    def write_poses(self, places: slice, xyz: np.ndarray, yaw_rad: np.ndarray) -> None:
        """Places markers of the first agents.

        Args:
            places: which of an agent's markers, m of them.
            xyz: (N, m, 3) metres.
            yaw_rad: (N, m) about z.
        """
        start = self._poses[: len(xyz), places]
        for axis in range(3):
            self._float64[start + axis] = xyz[..., axis]
        # Position x y z, then the quaternion x y z w.
        self._float64[start + 5] = np.sin(0.5 * yaw_rad)
        self._float64[start + 6] = np.cos(0.5 * yaw_rad)

    def write_scales(self, places: slice, scales_m: np.ndarray) -> None:
        """Sizes markers of the first agents; (N, m, 2) metres along x and y."""
        start = self._poses[: len(scales_m), places] + 7  # after position and quaternion
        for axis in range(2):
            self._float64[start + axis] = scales_m[..., axis]

    def write_colors(self, places: slice, rgba: np.ndarray) -> None:
        """Colours markers of the first agents; (N, m, 4) from 0 to 1."""
        # The colour's floats follow the scale, whose last double is the tenth.
        start = (self._poses[: len(rgba), places] + 10) * 2
        for channel in range(4):
            self._float32[start + channel] = rgba[..., channel]

    def write_points(self, place: int, xyz: np.ndarray) -> None:
        """Fills the points of one marker of the first agents; (N, P, 3) metres."""
        start = self._points[place][: len(xyz), None]
        self._float64[start + np.arange(3 * self._n_points[place])] = xyz.reshape(len(xyz), -1)

    def message(self, n_agents: int) -> bytes:
        """The serialised MarkerArray with the markers of the first `n_agents`."""
        self._int32[0] = n_agents * self.n_markers
        end = self._ends[n_agents - 1] if n_agents else _COUNT_BYTES
        return self._bytes[8 - _HEADER_BYTES : 8 + end].tobytes()


def _serialise_marked(templates: Sequence[Marker], n_agents: int) -> NDArray[np.uint8]:
    for template in templates:
        template.header.stamp.sec, template.header.stamp.nanosec = _MARK_STAMP, _MARK_NANOSEC
        template.id, template.action = _MARK_ID, _MARK_ACTION
        template.pose.position.x = _MARK_POSE
        if template.points:
            template.points[0].x = _MARK_POINT
    # The same objects over and over: only their bytes are wanted.
    array = MarkerArray(markers=list(templates) * n_agents)
    return np.frombuffer(serialize_message(array), dtype=np.uint8)
