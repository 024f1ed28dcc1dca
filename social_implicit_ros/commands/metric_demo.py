"""`metric_demo`: writes a page that shows how metrics respond when a prediction is moved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.output_files import written_beside
from social_implicit_ros.evaluation.report.metric_demo import demo_page


@reports_errors("metric_demo")
def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(
        prog="metric_demo",
        description="Writes one self-contained HTML page on which a reader moves, widens and "
        "splits a prediction and sees ADE, FDE, AMD, AMV and KDE respond.",
    )
    text, file = "where to write it (default: %(default)s)", Path("metric_demo.html")
    add = parser.add_argument
    add("--out", type=opt.output_file, default=file, metavar="FILE", help=text)
    opt.add(parser, "--seed")
    options = parser.parse_args(arguments)
    with written_beside(options.out) as written:
        written.write_text(demo_page(options.seed), encoding="utf-8")
    print(f"wrote {options.out}: open it in a browser, no network needed")


if __name__ == "__main__":
    sys.exit(main())
