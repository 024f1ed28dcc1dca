"""The model file of a name on each split, and whether it was trained on that split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.models.registry import BASELINES, DEFAULT_MODEL, shipped_models
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Attributes:
        name: as asked for.
        files: split -> name as `models.registry.load_model` takes it.
        held_out: the splits whose recordings the model was not trained on.
    """

    name: str
    files: dict[str, str]
    held_out: frozenset[str]


def candidate(name: str) -> Candidate:
    """Finds the files of a name.

    Args:
        name: `default`; a baseline; a family NAME of which NAME_<split> is shipped for every
            split; any other shipped model; or a path of an `.onnx` file, in which `{split}`
            stands for the split's name. Only baselines, families and paths with `{split}` are
            held out on every split; a name that ends in _<split> is held out on that one.
    """
    splits = tuple(LEAVE_ONE_OUT)
    if name == "default":
        return replace(candidate(DEFAULT_MODEL), name=name)
    if name in BASELINES:
        return Candidate(name, dict.fromkeys(splits, name), frozenset(splits))
    if "{split}" in name:
        files = {split: name.replace("{split}", split) for split in splits}
        return Candidate(name, files, frozenset(splits))
    if name in families():
        return Candidate(name, {split: f"{name}_{split}" for split in splits}, frozenset(splits))
    stem = name.removesuffix(".onnx")
    own = frozenset(split for split in splits if stem.endswith(f"_{split}"))
    return Candidate(name, dict.fromkeys(splits, name), own)


def families() -> tuple[str, ...]:
    """Names with one shipped leave-one-out model per split."""
    shipped = set(shipped_models())
    first = next(iter(LEAVE_ONE_OUT))
    stems = sorted(n.removesuffix(f"_{first}") for n in shipped if n.endswith(f"_{first}"))
    return tuple(
        stem for stem in stems if all(f"{stem}_{split}" in shipped for split in LEAVE_ONE_OUT)
    )


def parameter_count(model: TrajectoryModel) -> int:
    """Live parameters as the model card counts them; 0 for a baseline."""
    return model.card.parameters if isinstance(model, OnnxModel) else 0
