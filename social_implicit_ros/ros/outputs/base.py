"""Base class of the outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import ArrayLike
from rclpy.qos import QoSProfile

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.messages import header_to_msg
from social_implicit_ros.ros.outputs.cdr_writer import list_writer
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.types import Prediction
from social_implicit_ros.uncertainty.ellipses import at_confidence


class Output(ABC):
    """Converts forecasts into messages of one topic.

    An output is created from the node's config and has no access to the node, which publishes.
    """

    topic: ClassVar[str]
    message_class: ClassVar[type]
    #: Whether `render` reads samples; if no output does, none are drawn.
    reads_samples: ClassVar[bool] = False

    def __init__(self, config: NodeConfig) -> None:
        self._frame_id = config.predictor.publish_frame or config.predictor.fixed_frame

    def qos(self) -> QoSProfile:
        """QoS profile of the topic."""
        return qos.predictions()

    @abstractmethod
    def render(self, forecast: Forecast) -> Any:
        """The message to publish, or its serialised bytes."""

    def clear(self, stamp_ns: int) -> Any:
        """A message without people, as consumers keep the last one."""
        return self.message_class(header=header_to_msg(stamp_ns, self._frame_id))


class ListOutput(Output):
    """An output whose message is a header and a long list."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._writer = list_writer(self.message_class, self.entries)

    @abstractmethod
    def entries(self, shape: Any) -> Sequence[object]:
        """Template messages of the entries of a group; see `CdrListWriter`."""

    def serialised(
        self,
        forecast: Forecast,
        shapes: Sequence[Hashable],
        values: Mapping[str, ArrayLike],
    ) -> bytes:
        """The message of a forecast; see `CdrListWriter.write`."""
        header = header_to_msg(forecast.stamp_ns, forecast.frame_id)
        return self._writer.write(self.message_class(header=header), shapes, values)


def at_own_confidence(prediction: Prediction, confidence: float) -> Prediction:
    """Rescales the covariances to an output's own confidence level; 0 leaves them unchanged."""
    return at_confidence(prediction, confidence) if confidence else prediction
