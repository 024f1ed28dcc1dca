"""Command-line options of the commands that read recordings."""

from __future__ import annotations

import argparse

from social_implicit_ros.recordings.bag import TEXT_FRAMES_PER_SECOND

#: What may stand for BAG.
BAG_HELP = (
    "rosbag2 folder, .mcap or .db3 file (or such a file compressed: .zstd), a folder of such, a "
    "pattern, or ETH/UCY text"
)


def add_tracks_option(parser: argparse.ArgumentParser) -> None:
    """Adds --tracks, the topic of the tracks."""
    parser.add_argument(
        "--tracks",
        metavar="TOPIC",
        help="of the tracks; may be left out where one topic alone can be meant",
    )


def add_tracker_option(parser: argparse.ArgumentParser, default: str = "by type") -> None:
    """Adds --tracker, the description of its messages.

    Args:
        parser: of the command.
        default: what is taken where it is left out, for the help.
    """
    parser.add_argument(
        "--tracker",
        metavar="NAME|FILE",
        help=f"description of its messages, as the node's parameter tracker (default: {default})",
    )


def add_frame_rate_option(parser: argparse.ArgumentParser) -> None:
    """Adds --frames-per-second, of a text recording."""
    parser.add_argument(
        "--frames-per-second",
        type=float,
        default=TEXT_FRAMES_PER_SECOND,
        help="rate of a text recording's frame numbers, default: %(default)s, as in ETH/UCY "
        "files, where 10 frames are 0.4 s; seq_eth has 15",
    )
