"""`tracks_to_bag`: converts a text recording (ETH/UCY) to a rosbag2 recording (MCAP)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from social_implicit_ros.commands.options import add_frame_rate_option
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import DEFAULT_FRAME, RecordingError
from social_implicit_ros.recordings.bag_writer import MESSAGE_TYPES, write_tracks
from social_implicit_ros.recordings.track_source import open_source


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns 0, or 1 if the recording could not be read or written."""
    arguments = _parser().parse_args(argv)
    try:
        recording = open_source(arguments.file, frames_per_second=arguments.frames_per_second)
        n_messages = write_tracks(
            arguments.out,
            recorded_tracks(recording),
            topic=arguments.topic,
            message_type=arguments.type,
            frame_id=arguments.frame,
        )
    except (RecordingError, OSError) as error:
        print(f"tracks_to_bag: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {n_messages} messages on {arguments.topic}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracks_to_bag",
        description="Writes a text recording of pedestrians (lines of: frame id x_m y_m) as "
        "rosbag2 MCAP, for `ros2 bag play` or `replay_tracks`.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the text recording")
    parser.add_argument("out", type=Path, metavar="OUT", help="the rosbag2 folder to create")
    parser.add_argument("--topic", default="/tracks", help="default: %(default)s")
    parser.add_argument(
        "--type", choices=sorted(MESSAGE_TYPES), default="marker_array", help="default: %(default)s"
    )
    parser.add_argument(
        "--frame", default=DEFAULT_FRAME, help="coordinate frame, default: %(default)s"
    )
    add_frame_rate_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
