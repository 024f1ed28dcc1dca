"""Converts a checkpoint of the released Social-Implicit code to a model file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.models.card import file_sha256
from social_implicit_ros.training.social_implicit.zones import (
    NOISE_WEIGHTS,
    NOISE_WEIGHTS_ETH,
    ZONE_BOUNDS_M,
)


@reports_errors("import_checkpoint")
def main(arguments: Sequence[str] | None = None) -> None:
    """Converts a checkpoint."""
    parser = argparse.ArgumentParser(prog="import_checkpoint", description=__doc__)
    add = parser.add_argument
    add("checkpoint", type=Path, help="path of a released val_best.pth")
    add("--out", type=Path, required=True, help="output path, ending in .onnx")
    default, n_zones = _plain(NOISE_WEIGHTS), len(ZONE_BOUNDS_M)
    text = f"(default: {default}; the released eth checkpoint needs {_plain(NOISE_WEIGHTS_ETH)})"
    text = f"scale of the noise in each zone {text}"
    add("--noise-weights", type=float, nargs=n_zones, default=NOISE_WEIGHTS, metavar="W", help=text)
    options = parser.parse_args(arguments)
    # Not before the options are read: torch takes seconds.
    from social_implicit_ros.training.export import save_model
    from social_implicit_ros.training.social_implicit.graph import social_implicit_graph
    from social_implicit_ros.training.social_implicit.model import used_parameters
    from social_implicit_ros.training.social_implicit.released import read_released_checkpoint

    model = read_released_checkpoint(options.checkpoint, options.noise_weights)
    card = save_model(
        social_implicit_graph(model),
        options.out,
        architecture="social_implicit",
        description="Imported from a checkpoint of the released Social-Implicit code.",
        parameters=used_parameters(model),
        training={
            "checkpoint": options.checkpoint.name,
            "checkpoint_sha256": file_sha256(options.checkpoint),
            "noise_weights": list(options.noise_weights),
            "zones": "first observed displacement, always zero (as released)",
        },
    )
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"wrote {options.out}: {card.parameters} of {n_parameters} parameters are used")


def _plain(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
