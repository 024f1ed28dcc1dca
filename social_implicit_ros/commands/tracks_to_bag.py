"""`tracks_to_bag`: converts a text recording (ETH/UCY) to a rosbag2 recording (MCAP)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import DEFAULT_FRAME
from social_implicit_ros.recordings.bag_writer import MESSAGE_TYPES, write_tracks
from social_implicit_ros.recordings.left_out import LeftOut


@reports_errors("tracks_to_bag")
def main(arguments: Sequence[str] | None = None) -> None:
    """Converts a recording."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.out is None:
        if options.old_out is None:
            parser.error("the following arguments are required: --out")
        options.out = options.old_out
        print("tracks_to_bag: give the folder as --out DIR", file=sys.stderr)
    recording, settings = opt.opened_to_publish("tracks_to_bag", options)
    left_out = LeftOut()
    try:
        n_messages = write_tracks(
            options.out,
            recorded_tracks(recording, left_out, settings),
            topic=options.topic,
            message_type=options.type,
            frame_id=settings.fixed_frame or recording.fixed_frame or DEFAULT_FRAME,
        )
    finally:
        opt.print_notes("tracks_to_bag", options.file, [*recording.remarks, *left_out.notes()])
    print(f"{options.out}: {n_messages} messages on {options.topic}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracks_to_bag",
        description="Writes trajectories of pedestrians (lines of: frame id x_m y_m, or another "
        "format that evaluate_bag reads) as rosbag2 MCAP, for `ros2 bag play` or `replay_tracks`. "
        "From a bag it copies positions, and ids as numbers, but no velocities, map or transforms.",
    )
    add, default = parser.add_argument, "default: %(default)s"
    add("file", type=Path, metavar="FILE", help="the trajectories")
    add("old_out", nargs="?", type=Path, help=argparse.SUPPRESS)
    add("--out", type=Path, metavar="DIR", help="the rosbag2 folder to create")
    add("--topic", default="/tracks", help=default)
    add("--type", choices=sorted(MESSAGE_TYPES), default="marker_array", help=default)
    opt.add_publishing_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
