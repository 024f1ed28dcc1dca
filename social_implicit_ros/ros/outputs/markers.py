"""`~/markers`: position, past, mean trajectory and ellipses of every agent, for RViz."""

from __future__ import annotations

from functools import cache

import numpy as np
from geometry_msgs.msg import Point
from rclpy.qos import QoSProfile
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.messages import (
    duration_to_msg,
    point_numbers,
    pose_numbers,
    stamp_numbers,
    stamp_to_msg,
)
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.cdr_writer import list_writer
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.ellipses import ellipse_axes, radii_at

#: RViz does not draw a scale of zero, and warns.
_MIN_DIAMETER_M = 0.02
_DISC_THICKNESS_M = 0.02
#: Thicker than the discs, so that no ellipse covers a person.
_PERSON_THICKNESS_M = 0.06
#: Points of a closed outline: it looks smooth, and messages stay small.
_OUTLINE_POINTS = 33
#: Thin outlines stay legible where predictions of many people overlap.
_OUTLINE_WIDTH_RATIO = 0.5
#: The past is fainter than the future.
_PAST_ALPHA = 0.5
#: Outlines cover nothing below them, so they are more opaque than discs.
_OUTLINE_ALPHA_FACTOR = 2.5
#: Opacity of the last ellipse relative to the first.
_LAST_ALPHA_RATIO = 0.4
#: Saturated colours glare on a dark background, and blue is hard to see.
_SATURATION = 0.7
#: Consecutive multiples of it (modulo 1) spread evenly, so consecutive numbers differ in colour.
_GOLDEN_RATIO = 0.6180339887498949

#: Each agent has these markers first, then ellipses.
_SINGLES = (_PERSON, _PAST, _FUTURE) = (0, 1, 2)


class Markers(Output):
    """Draws each agent in its own colour.

    Namespaces, which RViz can show and hide: `person` (a disc of the size of a person), `past` and
    `future` (line strips), and one for each confidence level, such as `ellipse/0.95`: discs for the
    lowest level, outlines for the others, fainter with time. The id of a marker is the agent's
    slot; for ellipses slot * number of ellipse times + index of the time. An agent keeps its slot
    while it is predicted; then its markers are deleted.
    """

    topic = "~/markers"
    message_class = MarkerArray

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._confidences = config.confidence_levels
        self._person_radius_m = config.person_radius_m
        self._style = config.markers
        self._slots = _Slots()
        self._layout = (0, 0, 0.0)  # steps of the past and the future, and seconds between them

    def qos(self) -> QoSProfile:
        """QoS profile of the topic."""
        return qos.markers()

    def render(self, forecast: Forecast) -> bytes:
        """A serialised MarkerArray: all agents, and deletions of those that are gone."""
        slots, gone = self._slots.assign(forecast.ids)
        self._lay_out(forecast)
        ids = self._ids(np.concatenate([slots, gone]))
        poses, scales_m, points_m = self._drawn(forecast)
        colours = _rgba(_colours(forecast.numbers), self._alphas)
        # Deletions need no poses and colours.
        shape = (len(gone), len(self._alphas))
        return self._writer.write(
            MarkerArray(),
            [Marker.ADD] * len(slots) + [Marker.DELETE] * len(gone),
            {
                "header.stamp": np.tile(stamp_numbers(forecast.stamp_ns), ids.size),
                "id": ids,
                "pose": np.concatenate([poses, np.zeros((*shape, 7))]),
                "scale": np.concatenate([scales_m, np.zeros((*shape, 3))]),
                "color": np.concatenate([colours, np.zeros((*shape, 4))]),
                "points": points_m,
            },
        )

    def clear(self, stamp_ns: int) -> MarkerArray:
        """Deletes all markers of the topic, also those of an earlier node."""
        self._slots = _Slots()
        marker = Marker(action=Marker.DELETEALL)
        marker.header.frame_id = self._frame_id
        marker.header.stamp = stamp_to_msg(stamp_ns)
        return MarkerArray(markers=[marker])

    def _lay_out(self, forecast: Forecast) -> None:
        """Prepares the templates for the number of steps of the forecast."""
        n_past = forecast.past_m.shape[1]
        n_steps, step_s = forecast.prediction.mean.shape[1], forecast.prediction.step_s
        if self._layout == (n_past, n_steps, step_s):
            return
        self._layout = (n_past, n_steps, step_s)
        self._ellipse_steps = _nearest_steps(self._style.ellipse_times_s, forecast.times_s)
        templates = self._templates(Marker.ADD)
        self._alphas = np.array([marker.color.a for marker in templates])
        self._scales_m = np.array([(m.scale.x, m.scale.y, m.scale.z) for m in templates])
        self._writer = list_writer(MarkerArray, self._templates)

    def _templates(self, action: int) -> list[Marker]:
        """Templates of the markers of an agent; without points to delete them."""
        markers = self._singles() + self._ellipses()
        for marker in markers:
            marker.action = action
            if action == Marker.DELETE:
                marker.points = []
        return markers

    def _singles(self) -> list[Marker]:
        n_past, n_steps, _ = self._layout
        person = self._marker("person", Marker.CYLINDER, 1.0)
        person.scale.x = person.scale.y = 2.0 * self._person_radius_m
        person.scale.z = _PERSON_THICKNESS_M
        width_m = self._style.line_width_m
        past = self._line("past", n_past, width_m, _PAST_ALPHA)
        # The future begins at the present position, where the past ends.
        return [person, past, self._line("future", n_steps + 1, width_m, 1.0)]

    def _ellipses(self) -> list[Marker]:
        alphas = np.linspace(1.0, _LAST_ALPHA_RATIO, len(self._ellipse_steps)) * self._style.alpha
        width_m = _OUTLINE_WIDTH_RATIO * self._style.line_width_m
        markers = []
        for confidence in self._confidences:
            for alpha in alphas.tolist():
                namespace = f"ellipse/{confidence:g}"
                if confidence == min(self._confidences):
                    marker = self._marker(namespace, Marker.CYLINDER, alpha)
                    marker.scale.z = _DISC_THICKNESS_M
                else:
                    alpha = min(_OUTLINE_ALPHA_FACTOR * alpha, 1.0)
                    marker = self._line(namespace, _OUTLINE_POINTS, width_m, alpha)
                markers.append(marker)
        return markers

    def _line(self, namespace: str, n_points: int, width_m: float, alpha: float) -> Marker:
        marker = self._marker(namespace, Marker.LINE_STRIP, alpha)
        marker.scale.x = width_m
        marker.points = [Point()] * n_points
        return marker

    def _marker(self, namespace: str, kind: int, alpha: float) -> Marker:
        marker = Marker(ns=namespace, type=kind, color=ColorRGBA(a=alpha))
        marker.header.frame_id = self._frame_id
        marker.lifetime = duration_to_msg(self._style.lifetime_s)
        return marker

    def _ids(self, slots: np.ndarray) -> np.ndarray:
        n_times = len(self._ellipse_steps)
        ellipses = slots[:, None] * n_times + np.arange(n_times)
        singles = np.repeat(slots[:, None], len(_SINGLES), axis=1)
        return np.concatenate([singles, *[ellipses] * len(self._confidences)], axis=1).astype(
            np.int32
        )

    def _drawn(self, forecast: Forecast) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(A, M, 7) poses, (A, M, 3) scales and (A, P, 3) points of the M markers of each agent."""
        n_agents, n_ellipses = len(forecast.ids), len(self._ellipse_steps)
        prediction, heights_m = forecast.prediction, forecast.heights_m
        scales_m = np.tile(self._scales_m, (n_agents, 1, 1))
        past_m = _known_past(forecast.past_m, forecast.n_observed)
        future_m = np.concatenate([past_m[:, -1:], prediction.mean], axis=1)
        points_m = [point_numbers(past_m, heights_m), point_numbers(future_m, heights_m)]
        still = np.zeros((n_agents, len(_SINGLES)))
        lines = pose_numbers(np.zeros((*still.shape, 2)), np.zeros(n_agents), still)
        lines[:, _PERSON, :3] = points_m[0][:, -1]
        mean_m = prediction.mean[:, self._ellipse_steps]
        major_m, minor_m, yaw_rad = ellipse_axes(prediction.covariance[:, self._ellipse_steps])
        ellipses = pose_numbers(mean_m, heights_m, yaw_rad)
        axes_m = 2.0 * np.stack([major_m, minor_m], axis=-1)
        radii = radii_at(prediction, self._confidences)[:, self._ellipse_steps]
        for level, confidence in enumerate(self._confidences):
            diameters_m = np.maximum(radii[..., level, None] * axes_m, _MIN_DIAMETER_M)
            if confidence == min(self._confidences):
                first = len(_SINGLES) + level * n_ellipses
                scales_m[:, first : first + n_ellipses, :2] = diameters_m
            else:
                points_m.append(
                    _outlines(diameters_m).reshape(n_agents, n_ellipses * _OUTLINE_POINTS, 3)
                )
        poses = np.concatenate([lines, *[ellipses] * len(self._confidences)], axis=1)
        return poses, scales_m, np.concatenate(points_m, axis=1)


class _Slots:
    """Assigns small numbers to agents; an agent keeps its number while it is present."""

    def __init__(self) -> None:
        self._slot_of_id: dict[str, int] = {}

    def assign(self, ids: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Slots of the ids, and slots of the agents that are gone since the last call."""
        present = set(ids)
        gone = [slot for i, slot in self._slot_of_id.items() if i not in present]
        self._slot_of_id = {i: slot for i, slot in self._slot_of_id.items() if i in present}
        # Markers of freed slots are deleted in this message, so the slots are reused in the next.
        taken = {*self._slot_of_id.values(), *gone}
        candidate = 0
        for agent_id in ids:
            if agent_id not in self._slot_of_id:
                while candidate in taken:
                    candidate += 1
                taken.add(candidate)
                self._slot_of_id[agent_id] = candidate
        slots = np.array([self._slot_of_id[i] for i in ids], dtype=np.int64)
        return slots, np.array(gone, dtype=np.int64)


def _outlines(diameters_m: FloatArray) -> FloatArray:
    """(..., 2) diameters -> (..., P, 3) closed outlines around the origin, axes along x and y."""
    outlines_m = np.zeros((*diameters_m.shape[:-1], _OUTLINE_POINTS, 3))
    np.multiply(0.5 * diameters_m[..., None, :], _unit_circle(), out=outlines_m[..., :2])
    return outlines_m


@cache
def _unit_circle() -> FloatArray:
    """(P, 2) points; the last is equal to the first."""
    angle_rad = np.linspace(0.0, 2.0 * np.pi, _OUTLINE_POINTS)
    return np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=-1)


def _nearest_steps(times_s: tuple[float, ...], steps_s: FloatArray) -> np.ndarray:
    """Unique indices of the steps closest to the times; times beyond the last step are omitted."""
    half_step_s = 0.5 * steps_s[0]
    within = [t for t in times_s if t <= steps_s[-1] + half_step_s]
    return np.unique([int(np.abs(steps_s - t).argmin()) for t in within]).astype(np.int64)


def _known_past(past_m: FloatArray, n_observed: np.ndarray) -> FloatArray:
    """Replaces unknown leading steps by the first known one, which adds nothing to a line."""
    n_steps = past_m.shape[1]
    first = n_steps - n_observed
    at = np.maximum(np.arange(n_steps), first[:, None])
    known: FloatArray = np.take_along_axis(past_m, at[..., None], axis=1)
    return known


def _colours(numbers: np.ndarray) -> FloatArray:
    """(A, 3) a light colour per agent, a function of its number."""
    hue = (numbers * _GOLDEN_RATIO) % 1.0
    # Hue to RGB at full saturation: three trapezoids, a third of a turn apart.
    offsets = np.array([0.0, 2.0 / 3.0, 1.0 / 3.0])
    distance = np.abs((hue[:, None] + offsets) % 1.0 - 0.5) * 6.0
    return 1.0 - _SATURATION * (1.0 - np.clip(distance - 1.0, 0.0, 1.0))


def _rgba(rgb: FloatArray, alpha: FloatArray) -> FloatArray:
    """(A, 3) colours and (m,) opacities -> (A, m, 4)."""
    n_agents, n_markers = len(rgb), len(alpha)
    rgba = np.empty((n_agents, n_markers, 4))
    rgba[..., :3] = rgb[:, None]
    rgba[..., 3] = alpha
    return rgba
