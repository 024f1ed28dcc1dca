"""`import_checkpoint`: converts a checkpoint of the released code to a model file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from social_implicit_ros.models.card import file_sha256
from social_implicit_ros.training.export import save_model
from social_implicit_ros.training.social_implicit.graph import social_implicit_graph
from social_implicit_ros.training.social_implicit.model import (
    NOISE_WEIGHTS,
    NOISE_WEIGHTS_ETH,
    ZONE_BOUNDS_M,
    used_parameters,
)
from social_implicit_ros.training.social_implicit.released import read_released_checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts a checkpoint; returns the exit code."""
    parser = argparse.ArgumentParser(prog="import_checkpoint", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="path of a released val_best.pth")
    parser.add_argument("--out", type=Path, required=True, help="output path, ending in .onnx")
    parser.add_argument(
        "--noise-weights",
        type=float,
        nargs=len(ZONE_BOUNDS_M),
        default=NOISE_WEIGHTS,
        metavar="W",
        help=(
            f"scale of the noise in each zone (default: {_plain(NOISE_WEIGHTS)}; the released "
            f"eth checkpoint needs {_plain(NOISE_WEIGHTS_ETH)})"
        ),
    )
    options = parser.parse_args(arguments)
    try:
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
    except (ValueError, OSError) as error:
        print(f"import_checkpoint: {error}", file=sys.stderr)
        return 1
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"wrote {options.out}: {card.parameters} of {n_parameters} parameters are used")
    return 0


def _plain(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
