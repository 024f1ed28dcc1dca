"""Predictions as the node publishes them: one point per agent and step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from social_implicit_ros.prediction.cloud_fields import CLOUD_FIELDS, confidence_of
from social_implicit_ros.tracks.point_cloud import point_cloud_array
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.types import FloatArray, IntArray, require_shape
from social_implicit_ros.uncertainty.ellipses import confidence_to_sigmas

#: Fields that are read; heights are not.
FIELDS = tuple(name for name in CLOUD_FIELDS if name != "z")


@dataclass(frozen=True, eq=False)
class PublishedPrediction:
    """One `~/predictions` message.

    Attributes:
        stamp_ns: of the tick, integer nanoseconds.
        agents: (A,) numbers of the agents, see `core.agent_ids`.
        times_s: (T,) seconds from the stamp.
        mean: (A, T, 2) expected positions in metres.
        covariance: (A, T, 2, 2) in square metres.
        n_observed: (A,) observed steps behind each prediction.
        radii: confidence -> (A, T) how many standard deviations its ellipse reaches; those that
            the node was asked for.
    """

    stamp_ns: int
    agents: IntArray
    times_s: FloatArray
    mean: FloatArray
    covariance: FloatArray
    n_observed: IntArray
    radii: Mapping[float, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the shapes; raises ValueError naming the field."""
        shape = (*self.agents.shape, *self.times_s.shape)
        require_shape("PublishedPrediction", "mean", self.mean, (*shape, 2))
        require_shape("PublishedPrediction", "covariance", self.covariance, (*shape, 2, 2))
        require_shape("PublishedPrediction", "n_observed", self.n_observed, self.agents.shape)
        for confidence, radius in self.radii.items():
            require_shape("PublishedPrediction", f"radii[{confidence:g}]", radius, shape)

    def ellipses(self, confidence: float) -> FloatArray:
        """(A, T, 2, 2) matrices in square metres whose unit ellipses have this confidence.

        Where the node published no radius for it, the covariance is taken for a Gaussian's.
        """
        radius = self.radii.get(confidence, np.float64(confidence_to_sigmas(confidence)))
        return np.asarray(self.covariance * np.square(radius)[..., None, None])

    @property
    def stamps_ns(self) -> IntArray:
        """(T,) the moments predicted, integer nanoseconds."""
        return self.stamp_ns + np.round(self.times_s * 1e9).astype(np.int64)


def prediction_from_point_cloud(message: Any) -> PublishedPrediction:
    """Decodes a `~/predictions` message, of rclpy or of `rosbags`.

    Args:
        message: `sensor_msgs/PointCloud2`.

    Raises:
        ValueError: a field is missing, or the agents do not all have the same steps.
    """
    points = point_cloud_array(message)
    missing = [name for name in FIELDS if name not in (points.dtype.names or ())]
    if missing:
        raise ValueError(
            f"PointCloud2 has no field {', '.join(missing)}: it is no ~/predictions message"
        )
    points = points[np.lexsort((points["t"], points["agent_id"]))]
    agents, counts = np.unique(points["agent_id"].astype(np.int64), return_counts=True)
    n_steps = int(counts[0]) if len(counts) else 0
    rows = points.reshape(len(agents), n_steps) if (counts == n_steps).all() else None
    if rows is None or not (rows["t"] == rows["t"][:1]).all():
        raise ValueError("~/predictions message whose agents have different steps")
    xx, xy, yy = (rows[name] for name in ("sigma_xx", "sigma_xy", "sigma_yy"))
    covariance = np.stack([xx, xy, xy, yy], axis=-1).reshape(*rows.shape, 2, 2)
    return PublishedPrediction(
        stamp_ns=stamp_ns_of(message.header.stamp),
        agents=agents,
        times_s=rows["t"][0].astype(np.float64) if len(rows) else np.empty(0),
        mean=np.stack([rows["x"], rows["y"]], axis=-1).astype(np.float64),
        covariance=covariance.astype(np.float64),
        n_observed=rows["n_observed"][:, 0].astype(np.int64) if n_steps else np.empty(0, np.int64),
        radii={
            confidence: rows[name].astype(np.float64)
            for name in points.dtype.names or ()
            if (confidence := confidence_of(name)) is not None
        },
    )
