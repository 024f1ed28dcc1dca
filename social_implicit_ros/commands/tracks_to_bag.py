"""`tracks_to_bag`: converts a text recording (ETH/UCY) to a rosbag2 recording (MCAP)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from social_implicit_ros.commands.options import add_old_name, add_text_options, text_format
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import DEFAULT_FRAME, RecordingError
from social_implicit_ros.recordings.bag_writer import MESSAGE_TYPES, write_tracks
from social_implicit_ros.recordings.track_source import open_source


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns 0, or 1 if the recording could not be read or written."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.out is None:
        if arguments.old_out is None:
            parser.error("the following arguments are required: --out")
        arguments.out = arguments.old_out
        print("tracks_to_bag: give the folder as --out DIR", file=sys.stderr)
    try:
        recording = open_source(arguments.file, text=text_format(arguments))
        n_messages = write_tracks(
            arguments.out,
            recorded_tracks(recording),
            topic=arguments.topic,
            message_type=arguments.type,
            frame_id=arguments.fixed_frame,
        )
    except (RecordingError, OSError) as error:
        print(f"tracks_to_bag: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {n_messages} messages on {arguments.topic}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracks_to_bag",
        description="Writes trajectories of pedestrians (lines of: frame id x_m y_m, or another "
        "format that evaluate_bag reads) as rosbag2 MCAP, for `ros2 bag play` or `replay_tracks`.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the trajectories")
    parser.add_argument("old_out", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the rosbag2 folder to create")
    parser.add_argument("--topic", default="/tracks", help="default: %(default)s")
    parser.add_argument(
        "--type", choices=sorted(MESSAGE_TYPES), default="marker_array", help="default: %(default)s"
    )
    parser.add_argument(
        "--fixed-frame", default=DEFAULT_FRAME, help="coordinate frame, default: %(default)s"
    )
    add_old_name(parser, "--frame", "--fixed-frame")
    add_text_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
