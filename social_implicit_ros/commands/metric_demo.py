"""`metric_demo`: writes a page on which the metrics respond to a prediction that is moved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from social_implicit_ros.evaluation.report.metric_demo import demo_page


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page; returns the exit code, 2 where it cannot be written."""
    parser = argparse.ArgumentParser(
        prog="metric_demo",
        description="Writes one self-contained HTML page on which a reader moves, widens and "
        "splits a prediction and sees ADE, FDE, AMD, AMV and KDE respond.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("metric_demo.html"),
        metavar="FILE",
        help="where to write it (default: metric_demo.html)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    options = parser.parse_args(arguments)
    try:
        options.out.write_text(demo_page(options.seed), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"metric_demo: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}: open it in a browser, no network needed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
