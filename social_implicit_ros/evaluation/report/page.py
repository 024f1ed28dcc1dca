"""`report.html`: the results of `evaluate_bag` as one self-contained page."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from social_implicit_ros.evaluation.output_files import filled_page
from social_implicit_ros.evaluation.report.highlights import N_WORST
from social_implicit_ros.evaluation.report.tables import metric_rows, tracker_rows
from social_implicit_ros.evaluation.tally import CROWD_NAMES, SPEED_NAMES

#: Recordings whose scene and map are shown: those with most complete predictions.
SCENES, MAPS = 4, 12
#: Maximum size of all scenes together, so that the page stays below 10 MB; the first scene is
#: always shown.
SCENES_BYTES = 4_000_000

#: Minimum reliability of regions that are called calibrated, see docs/metrics.md.
CALIBRATED_R_AVG, CALIBRATED_R_MIN = 0.95, 0.90


def report_page(
    results: Mapping[str, Any], highlights: Iterable[tuple[str, Mapping[str, Any]]]
) -> str:
    """Fills the page.

    Args:
        results: content of `results.json`.
        highlights: path and highlights of every recording.
    """
    models = list(results["models"])
    data = {
        "results": results,
        "summaries": {name: summary(results, name) for name in models},
        "figures": metric_rows(results),
        "orders": {"speed": SPEED_NAMES, "crowd": CROWD_NAMES},
        "tracker": tracker_rows(results),
        **_chosen(highlights, results),
    }
    return filled_page(__package__, "report.html", data)


def summary(results: Mapping[str, Any], name: str) -> list[str]:
    """The metrics of a model in sentences."""
    model = results["models"][name]
    metrics, horizon_s = model["figures"], model["horizon"]["times_s"][-1]
    against = partial(_against_baseline, results, name)
    sentences = []
    if metrics["mean_ade"] is not None:
        sentences.append(
            f"The mean trajectory deviates by {metrics['mean_ade']:.2f} m on average over the next "
            f"{horizon_s:g} s, and by {metrics['mean_fde']:.2f} m at the end{against('mean_fde')}."
        )
    if metrics["best_fde"] is not None and metrics["best_fde"] < metrics["mean_fde"]:
        sentences.append(
            f"The closest of {results['settings']['n_samples']} samples ends "
            f"{metrics['best_fde']:.2f} m from the ground truth{against('best_fde')}."
        )
    if metrics["energy"] is not None and against("energy"):
        sentences.append(
            f"The energy score, which rates the whole distribution, is {metrics['energy']:.2f} "
            f"m{against('energy')}."
        )
    if metrics["coverage_95"] is not None:
        sentences.append(_about_regions(metrics))
    if metrics["latency_ms_median"] is not None:
        sentences.append(
            f"A tick took {metrics['latency_ms_median']:.1f} ms on the machine of this evaluation."
        )
    return sentences


def _against_baseline(results: Mapping[str, Any], name: str, metric: str) -> str:
    """Compares a metric, of which lower is better, with constant velocity of equal horizon."""
    model, baseline = results["models"][name], results["models"].get("constant_velocity")
    if name == "constant_velocity" or baseline is None or not baseline["figures"][metric]:
        return ""
    if model["horizon"]["times_s"][-1] != baseline["horizon"]["times_s"][-1]:
        return ""
    ratio = model["figures"][metric] / baseline["figures"][metric]
    if abs(ratio - 1.0) < 0.005:
        return ", as constant velocity does" if metric.endswith("fde") else ""
    word = "less" if ratio < 1.0 else "more"
    return f": {100 * abs(ratio - 1.0):.0f} % {word} than constant velocity"


def _about_regions(metrics: Mapping[str, float | None]) -> str:
    """A sentence about the coverage at 95 %, and at all confidence levels."""
    coverage, r_avg, r_min = metrics["coverage_95"], metrics["r_avg"], metrics["r_min"]
    assert coverage is not None
    share = f"The 95 % regions cover {100 * coverage:.1f} % of the true positions"
    if coverage < 0.05:
        return "This model states no uncertainty."
    if coverage < 0.85:
        return f"{share}: they are too small to plan with here."
    if coverage < 0.925:
        return f"{share}: they are slightly too small here."
    if coverage >= 0.975:
        return f"{share}: they are wider than necessary."
    if r_avg is None or r_min is None:
        return f"{share}."
    if r_avg >= CALIBRATED_R_AVG and r_min >= CALIBRATED_R_MIN:
        return f"{share}: they are calibrated, as are those of the other levels and of every step."
    return (
        f"{share}, but over all confidence levels and steps coverage is off by "
        f"{100 * (1 - r_avg):.0f} % on average and by up to {100 * (1 - r_min):.0f} %."
    )


def _chosen(
    highlights: Iterable[tuple[str, Mapping[str, Any]]], results: Mapping[str, Any]
) -> dict[str, Any]:
    """Selects the scenes, maps and largest errors to show; only these are kept in memory."""
    models = list(results["models"])
    futures = {bag["path"]: bag["counts"][models[0]]["futures"] for bag in results["bags"]}
    largest = heapq.nlargest(MAPS, futures, key=lambda path: futures[path])
    shown: dict[str, Mapping[str, Any]] = {}
    worst: dict[str, list[Any]] = {name: [] for name in models}
    for path, of_bag in highlights:
        if path in largest:
            shown[path] = {"map": of_bag["map"]}
        if path in largest[:SCENES]:
            shown[path] = {"map": of_bag["map"], "scene": of_bag["scene"]}
        for name in models:
            failures = [{"bag": path, **failure} for failure in of_bag["worst"][name]]
            both = worst[name] + failures
            worst[name] = heapq.nlargest(N_WORST, both, key=lambda failure: failure["fde_m"])
    of_path = [(path, shown[path]) for path in largest if path in shown]
    scenes = [{"bag": path, **one["scene"]} for path, one in of_path if "scene" in one]
    return {
        "scenes": _within(SCENES_BYTES, [scene for scene in scenes if scene["frames"]]),
        "maps": [{"bag": path, **one["map"]} for path, one in of_path],
        "worst": worst,
    }


def _within(n_bytes: int, scenes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first scene, and the next ones as long as all fit into `n_bytes`."""
    kept: list[dict[str, Any]] = []
    for scene in scenes:
        n_bytes -= len(json.dumps(scene))
        if n_bytes < 0 and kept:
            break
        kept.append(scene)
    return kept
