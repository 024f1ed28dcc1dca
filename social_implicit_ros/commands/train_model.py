"""`train_model`: fine-tunes a shipped model on your own recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.terminal import progress_bar
from social_implicit_ros.models.card import MAX_NAME, ModelCard
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.models.registry import DEFAULT_MODEL, model_path
from social_implicit_ros.prediction.replay_settings import load_choices
from social_implicit_ros.recordings.bag import find_bags
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.scenes import WINDOW_NS, bag_scenes
from social_implicit_ros.recordings.text_formats.eth_ucy import Scene
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.training.comparison import comparison_table, evaluate_model, worse_metrics
from social_implicit_ros.training.time_split import Parts, joined, people_of, split_in_time

if TYPE_CHECKING:
    from social_implicit_ros.training.social_zone.fine_tune import Evaluation, Tuned
    from social_implicit_ros.training.social_zone.fit import Agents
    from social_implicit_ros.training.social_zone.model import SocialZone

#: Default maximum number of training iterations.
ITERATIONS = 400
#: Maximum number of printed rows of the validation curve; the card has all.
_ROWS = 10


@reports_errors("train_model")
def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, calibrates, exports and compares."""
    options = parse(arguments)
    # Not before the options are read: torch takes seconds.
    from social_implicit_ros.training.social_zone.file import read_social_zone
    from social_implicit_ros.training.social_zone.fine_tune import save_tuned
    from social_implicit_ros.training.social_zone.fit import agents_of_scenes

    console, progress_console = Console(), Console(stderr=True)
    # In training, only people are neighbours, not the robot.
    settings = replace(opt.settings_of("train_model", options), robot="none")
    # Check all inputs before anything that takes long.
    options.model = options.model or load_choices(options.params, options.tracker).model
    path = model_path(options.model or "default")
    before = OnnxModel.load(path)
    base = read_social_zone(path, before.card)
    file = options.out / f"{options.name or before.name + '_tuned'}.onnx"
    if file.exists() and file.samefile(path):
        raise ValueError(f"{file} is the base model and is not overwritten: give another --name")
    paths = find_bags(options.bags)
    choices = opt.recording_choices(options, paths)
    sources = [open_source(path, settings, choices) for path in paths]
    recorded = _read(sources, settings, progress_console)
    parts = joined(recorded)
    _print_parts(parts, console)
    parts.require_enough()
    opt.make_folder(options.out)

    training, validation = (
        agents_of_scenes([scene.positions_m for scene in scenes])
        for scenes in (parts.training, parts.validation)
    )
    tuned = _tuned(base, training, validation, options, progress_console)
    _print_curve(tuned, console)
    card = save_tuned(
        tuned,
        file,
        validation=validation,
        people=people_of(parts.validation),
        base=before.card,
        provenance={
            "command": _command(options),
            "recordings": list(map(_provenance, sources, recorded)),
            **{
                key: {name: counts[key] for name, counts in parts.counts().items()}
                for key in ("agents", "people")
            },
            "seed": options.seed,
        },
    )
    _compare(before, card, parts, options, console)


def _tuned(
    base: SocialZone,
    training: Agents,
    validation: Agents,
    options: argparse.Namespace,
    console: Console,
) -> Tuned:
    """Fine-tunes the base model and shows the progress."""
    from social_implicit_ros.training.social_zone.fine_tune import TuneSettings, fine_tune

    settings = TuneSettings(iterations=options.iterations)
    with progress_bar(console) as progress:
        task = progress.add_task("training", total=settings.iterations)

        def show(evaluation: Evaluation) -> None:
            text = f"training, validation loss {evaluation.loss:.4f}"
            progress.update(task, completed=evaluation.iteration, description=text)

        return fine_tune(base, training, validation, options.seed, settings, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message on an error."""
    parser = argparse.ArgumentParser(
        prog="train_model",
        description="Fine-tunes a shipped model on your own recordings. The first 60 % of each "
        "recording are training data, the next 20 % validation data (early stopping and "
        "calibration of the ellipses), the last 20 % test data. Writes DIR/NAME.onnx and its model "
        "card, for the node's parameter model.",
    )
    parser.add_argument("--bags", nargs="+", required=True, metavar="BAG", help=opt.BAG_HELP)
    opt.add(parser, "--params", "--tracks", "--tracker", "--fixed-frame", *opt.OF_TEXT)
    opt.add(parser, "--out", "--seed")
    text = (
        "base model: a shipped model's name, or an .onnx file, such as one of this command "
        "(default: that of --params, else default)"
    )
    parser.add_argument("--model", metavar="NAME|FILE", help=text)
    text = "name of the model (default: that of --model with _tuned)"
    parser.add_argument("--name", metavar="NAME", help=text)
    text = "maximum number of training iterations; 0 only calibrates (default: %(default)s)"
    add, n = parser.add_argument, ITERATIONS
    add("--iterations", type=opt.non_negative_int, default=n, metavar="N", help=text)
    options = parser.parse_args(arguments)
    if options.name and Path(options.name).name != options.name:
        parser.error(f"--name is {options.name!r}: give its folder with --out")
    if options.name and len(options.name) > MAX_NAME:
        parser.error(f"--name has {len(options.name)} characters, expected at most {MAX_NAME}")
    return options


def _compare(
    before: OnnxModel, card: ModelCard, parts: Parts, options: argparse.Namespace, console: Console
) -> None:
    """Compares the written file with the base model, and adds the metrics to its card."""
    path = options.out / f"{card.name}.onnx"
    after = OnnxModel.load(path)
    old, new = (evaluate_model(model, parts.test, seed=options.seed) for model in (before, after))
    n_agents = parts.counts()["test"]["agents"]
    title = f"test part, {n_agents} trajectories: {before.name} before and after"
    console.print(comparison_table({"before": old, "after": new}, title))
    worse = worse_metrics(old, new)
    if worse:
        console.print(f"Worse than before on the test part: {'; '.join(worse)}.")
    metrics = {**card.metrics, "test": {"before": old, "after": new}}
    replace(card, metrics=metrics).save(path.with_suffix(".json"))
    console.print(f"written: {path}; for the node: model:={path}", highlight=False, soft_wrap=True)


def _read(
    sources: Sequence[TrackSource], settings: PredictorConfig, console: Console
) -> list[Parts]:
    found = []
    with progress_bar(console) as progress:
        for source in sources:
            task = progress.add_task(escape(source.path.name), total=source.n_messages)
            left_out = LeftOut()
            scenes = bag_scenes(source, settings, partial(progress.advance, task), left_out)
            opt.print_notes("train_model", source.path, [*source.remarks, *left_out.notes()])
            found.append(split_in_time(scenes, WINDOW_NS))
    return found


def _provenance(source: TrackSource, parts: Parts) -> dict[str, Any]:
    """Entry in the model card; times of parts are seconds since the start of the recording."""
    begin_ns = source.start_ns
    if source.uses_stamps_as_clock and parts.training:
        begin_ns = parts.training[0].frame  # the recording has another clock
    return {
        "name": source.path.name,
        "tracks": source.topic,
        "tracker": source.tracker.name if source.tracker else "text",
        "fixed_frame": source.fixed_frame,
        "seconds": round(source.duration_s, 1),
        "messages": source.n_messages,
        "parts": {
            name: {**counts, **_span(getattr(parts, name), begin_ns)}
            for name, counts in parts.counts().items()
        },
    }


def _print_parts(parts: Parts, console: Console) -> None:
    table = Table(
        "part",
        f"windows of {WINDOW_NS * 1e-9:g} s",
        "trajectories",
        "people",
        title="chronological order",
    )
    for name, counts in parts.counts().items():
        table.add_row(name, *(str(counts[key]) for key in ("windows", "agents", "people")))
    console.print(table)


def _print_curve(tuned: Tuned, console: Console) -> None:
    table = Table(
        "iteration", "loss", "ADE / FDE, best of 20", "mean trajectory", title="validation part"
    )
    every = max(1, len(tuned.curve) // _ROWS)
    for row, entry in enumerate(tuned.curve):
        if row % every == 0 or entry is tuned.best:
            found = entry.accuracy
            table.add_row(
                f"{entry.iteration}{' (kept)' if entry is tuned.best else ''}",
                f"{entry.loss:.4f}",
                f"{found.ade_m:.3f} / {found.fde_m:.3f}",
                f"{found.mean_ade_m:.3f} / {found.mean_fde_m:.3f}",
            )
    console.print(table)
    if tuned.best.iteration == 0:
        console.print(
            "No iteration was better on the validation part: the weights are those of the base "
            "model. The calibration is computed on your recordings."
        )


def _span(scenes: Sequence[Scene], begin_ns: int) -> dict[str, float]:
    """Start and end of a part, seconds since the start of the recording."""
    if not scenes:
        return {}
    from_ns, to_ns = scenes[0].frame, scenes[-1].frame + WINDOW_NS
    ends = {"from_s": from_ns, "to_s": to_ns}
    return {name: round((stamp_ns - begin_ns) * 1e-9, 2) for name, stamp_ns in ends.items()}


def _command(options: argparse.Namespace) -> str:
    given = {
        "tracks": options.tracks,
        "tracker": options.tracker,
        "params": options.params,
        "fixed-frame": options.fixed_frame,
        "model": DEFAULT_MODEL if options.model in (None, "default") else options.model,
        "iterations": options.iterations,
        "seed": options.seed,
    }
    words = [f"--{name} {value}" for name, value in given.items() if value is not None]
    return " ".join(["train_model", "--bags BAG...", *words, "--out DIR"])


if __name__ == "__main__":
    sys.exit(main())
