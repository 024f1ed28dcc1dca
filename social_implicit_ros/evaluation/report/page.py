"""`report.html`: the results of `evaluate_bag` as one file that asks the network for nothing."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from social_implicit_ros.evaluation.report.highlights import N_WORST
from social_implicit_ros.evaluation.report.tables import STYLES

#: In the page's template.
DATA_MARK, PLOTLY_MARK = "/*DATA*/null", "/*PLOTLY*/"
#: Recordings whose scene and map are shown: those with most futures.
SCENES, MAPS = 4, 12
#: All scenes together, so that the page stays below 10 MB; the first one is shown in any case.
SCENES_BYTES = 4_000_000

#: What each figure tells, in a line; docs/evaluation.md says more.
MEANINGS = {
    "best_ade": "distance of the best of N futures from the truth, mean over the horizon",
    "best_fde": "the same at the end of the horizon",
    "mean_ade": "distance of the expected path from the truth, mean over the horizon",
    "mean_fde": "the same at the end of the horizon",
    "miss_rate": "people of whom no future ends within 2 m of the truth",
    "collision_rate": "people whose futures run through one another",
    "amd": "how far off the truth lies, in units of the predicted spread: 1.253 is honest",
    "amv": "how wide predictions are: among honest ones, narrow is better",
    "kde": "surprise at the truth, given all futures",
    "energy": "distance of all futures from the truth, their spread taken off",
    "coverage_95": "true positions inside the ellipse that says 95 %",
    "r_avg": "how nearly ellipses of every confidence hold what they say; 95 is good",
    "r_min": "the same for the worst confidence; 90 is good",
    "latency_ms_median": "history and model of one tick, where this was evaluated",
    "latency_ms_p99": "the same for the slowest in a hundred ticks",
}


def report_page(
    results: Mapping[str, Any], highlights: Iterable[tuple[str, Mapping[str, Any]]]
) -> str:
    """Writes the page.

    Args:
        results: what `results.json` holds.
        highlights: name of a recording and what it shows, for every recording; read one by one.
    """
    models = list(results["models"])
    data = {
        "results": results,
        "verdicts": {name: verdict(results, name) for name in models},
        "figures": [
            {
                "name": name,
                "label": style.label,
                "unit": style.unit,
                "wanted": style.wanted,
                "best": style.best,
                "meaning": MEANINGS[name],
            }
            for name, style in STYLES.items()
        ],
        **_chosen(highlights, results),
    }
    template = (resources.files(__package__) / "report.html").read_text(encoding="utf-8")
    # Within a script element nothing may look like its end.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    return template.replace(DATA_MARK, text).replace(PLOTLY_MARK, _plotly_js())


def verdict(results: Mapping[str, Any], name: str) -> list[str]:
    """What the figures of a model say, in sentences."""
    model = results["models"][name]
    figures, horizon_s = model["figures"], model["horizon"]["times_s"][-1]
    sentences = []
    if figures["mean_ade"] is not None:
        sentences.append(
            f"Over the next {horizon_s:g} s its expected path is {figures['mean_ade']:.2f} m off "
            f"on average, and {figures['mean_fde']:.2f} m at the end"
            + _against_baseline(results, name)
            + "."
        )
    if figures["coverage_95"] is not None:
        sentences.append(_about_ellipses(figures["coverage_95"]))
    if figures["latency_ms_median"] is not None:
        sentences.append(
            f"A tick took {figures['latency_ms_median']:.1f} ms where this was evaluated."
        )
    return sentences


def _against_baseline(results: Mapping[str, Any], name: str) -> str:
    baseline = results["models"].get("constant_velocity")
    if name == "constant_velocity" or baseline is None or not baseline["figures"]["mean_fde"]:
        return ""
    ratio = results["models"][name]["figures"]["mean_fde"] / baseline["figures"]["mean_fde"]
    if abs(ratio - 1.0) < 0.005:
        return ", like constant velocity"
    word = "less" if ratio < 1.0 else "more"
    return f": {100 * abs(ratio - 1.0):.0f} % {word} than constant velocity"


def _about_ellipses(coverage: float) -> str:
    held = f"Its 95 % ellipses held {100 * coverage:.1f} % of the true positions: "
    if coverage >= 0.975:
        return held + "they are wider than they need be."
    if coverage >= 0.925:
        return held + "they can be trusted."
    if coverage >= 0.85:
        return held + "they are a little too small here."
    if coverage >= 0.05:
        return held + "they are too small to plan with here."
    return "It states no uncertainty."


def _chosen(
    highlights: Iterable[tuple[str, Mapping[str, Any]]], results: Mapping[str, Any]
) -> dict[str, Any]:
    """The best of what the recordings have to show; memory holds the chosen ones only."""
    models = list(results["models"])
    futures = {bag["path"]: bag["counts"][models[0]]["futures"] for bag in results["bags"]}
    largest = heapq.nlargest(MAPS, futures, key=lambda path: futures[path])
    scenes: dict[str, Any] = {}
    maps: dict[str, Any] = {}
    worst: dict[str, list[Any]] = {name: [] for name in models}
    for path, shown in highlights:
        if path in largest:
            maps[path] = shown["map"]
        if path in largest[:SCENES] and shown["scene"]["frames"]:
            scenes[path] = shown["scene"]
        for name in models:
            of_bag = [{"bag": path, **failure} for failure in shown["worst"][name]]
            worst[name] = heapq.nlargest(
                N_WORST, worst[name] + of_bag, key=lambda failure: failure["fde_m"]
            )
    return {
        "scenes": _within(
            SCENES_BYTES, [{"bag": path, **scenes[path]} for path in largest if path in scenes]
        ),
        "maps": [{"bag": path, **maps[path]} for path in largest if path in maps],
        "worst": worst,
    }


def _within(n_bytes: int, scenes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first scene, and of the others those for which there is room."""
    kept: list[dict[str, Any]] = []
    for scene in scenes:
        n_bytes -= len(json.dumps(scene))
        if n_bytes < 0 and kept:
            break
        kept.append(scene)
    return kept


def _plotly_js() -> str:
    file = resources.files("plotly") / "package_data" / "plotly.min.js"
    return file.read_text(encoding="utf-8").replace("</script", "<\\/script")


def write_report(
    out: Path, results: Mapping[str, Any], highlights: Iterable[tuple[str, Mapping[str, Any]]]
) -> None:
    """Writes `report.html`; see `report_page`."""
    out.write_text(report_page(results, highlights), encoding="utf-8")
