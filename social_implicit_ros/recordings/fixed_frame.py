"""Chooses the frame of a recording in which people are predicted."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from social_implicit_ros.recordings.bag import DEFAULT_FRAME, BagReader, RecordingError
from social_implicit_ros.recordings.storage import Topic
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transform_messages import TF_MESSAGE
from social_implicit_ros.types import plain_frame

#: Frames that do not move, by REP 105.
_FIXED_FRAMES = ("map", "odom", "earth", "world")
#: Number of messages of /tf that are read to determine the frame tree.
_TRANSFORMS_TO_LEARN = 500


def transform_connections(reader: BagReader) -> tuple[list[Topic], list[Topic]]:
    """The connections of /tf and of /tf_static."""
    transforms = [c for c in reader.topics if c.msgtype == TF_MESSAGE]
    static = [c for c in transforms if c.topic.endswith("tf_static")]
    return [c for c in transforms if c not in static], static


def choose_fixed_frame(
    reader: BagReader, frame_id: str, fixed_frame: str, *, is_name: bool = False
) -> tuple[str, list[str]]:
    """Chooses the frame to predict in; returns it, and notes about it.

    Args:
        reader: reads the recording.
        frame_id: frame of the tracks.
        fixed_frame: the user's choice; empty chooses a frame that does not move.
        is_name: use `fixed_frame` only if transforms lead to it; else it only names the frame.

    Raises:
        RecordingError: other frames move, and no transform tells whether that of the tracks does.
    """
    if fixed_frame and (not is_name or plain_frame(fixed_frame) == plain_frame(frame_id)):
        return fixed_frame, []
    moving, static = transform_connections(reader)
    is_fixed = plain_frame(frame_id) in _FIXED_FRAMES
    if not moving and not static:
        if is_fixed and not fixed_frame:
            return frame_id, []
        name = f"; {fixed_frame} is another name for it" if fixed_frame else ""
        own = frame_id or "without a name"
        text = f"the recording has no transforms: frame {own} is taken as fixed{name}"
        return frame_id, [text]
    transforms = TransformBuffer()
    _add_all(transforms, (data for _, _, data in reader.messages(static)) if static else (), True)
    messages = (data for _, _, data in reader.messages(moving)) if moving else iter(())
    _add_all(transforms, islice(messages, _TRANSFORMS_TO_LEARN), False)
    if fixed_frame:
        if transforms.path(fixed_frame, frame_id) is not None:
            return fixed_frame, []
        chosen, notes = choose_fixed_frame(reader, frame_id, "")
        text = f"no transform leads from {frame_id} to {fixed_frame}, which is a name for {chosen}"
        return chosen, [text, *notes]
    chain = transforms.ancestors(frame_id)
    if DEFAULT_FRAME in chain:
        return DEFAULT_FRAME, []
    if chain[-1] not in _FIXED_FRAMES and not _moves_in(transforms, chain):
        # The robot may stand static at first: read until a transform changes.
        while not (others := transforms.moving()) and (data := next(messages, None)) is not None:
            _add_all(transforms, [data], False)
        chain = transforms.ancestors(frame_id)
        if others and not _moves_in(transforms, chain):
            raise RecordingError(_missing_link(reader.path, chain, others))
    if len(chain) > 1:
        return chain[-1], [f"the recording has no frame odom: people are predicted in {chain[-1]}"]
    text = f"no transform moves frame {frame_id}: it is taken as fixed"
    return frame_id, [] if is_fixed else [text]


def _add_all(transforms: TransformBuffer, messages: Iterable[bytes], is_static: bool) -> None:
    for data in messages:
        with suppress(ValueError):  # counted when the recording is replayed
            transforms.add(data, is_static=is_static)


def _moves_in(transforms: TransformBuffer, chain: list[str]) -> bool:
    """Whether a transform along a chain of frames changes over time."""
    return any(frame in chain for frame, _ in transforms.moving())


def _missing_link(path: Path, chain: list[str], others: list[tuple[str, str]]) -> str:
    frame_id, root = chain[0], chain[-1]
    child, parent = others[0]
    if not frame_id:
        return (
            f"{path}: the tracks name no frame, and frame {child} moves in {parent}: let the "
            "tracker set header.frame_id, or write the frame's path in the tracker mapping"
        )
    through = "" if root == frame_id else f" (through {root})"
    return (
        f"{path}: frame {child} moves in {parent}, but no transform connects frame {frame_id} of "
        f"the tracks{through} with either: record /tf_static, too, or add the transform from "
        f"{root} to {child} to the recording; if {frame_id} does not move, pass --fixed-frame "
        f"{plain_frame(frame_id)}"
    )
