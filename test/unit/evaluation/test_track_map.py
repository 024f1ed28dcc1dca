"""The map of a report has the mean errors of all predictions, at any size of its cells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.evaluation.report.highlights import (
    CELL_M,
    MAX_CELLS,
    MAX_CELLS_PER_SIDE,
    TrackMap,
)


def measures_at(places_m: np.ndarray, fde_m: np.ndarray) -> Measures:
    """Complete predictions of one step that are made at some places."""
    nothing = np.zeros((len(places_m), 1))
    none = nothing[:, 0].astype(int)
    return Measures(
        ticks=[],
        first_rows=none,
        known=nothing == 0,
        complete=none == 0,
        error_m=fde_m[:, None],
        best_m=nothing,
        best_ade_m=nothing[:, 0],
        levels=nothing,
        radius_m=nothing,
        position_m=places_m,
        context={},
    )


@pytest.mark.parametrize("reach_m", [1.0, 30.0, 300.0, 1e5])
def test_cells_have_the_mean_error_of_the_predictions_made_there(reach_m: float) -> None:
    generator = np.random.default_rng(5)
    track_map = TrackMap(["a", "b"])
    seen = []
    for share in (0.1, 0.5, 1.0, 0.2):  # the map grows on every side
        places_m = generator.uniform(-share * reach_m, share * reach_m, (3000, 2))
        fde_m = generator.uniform(0, 3, len(places_m))
        errors = measures_at(places_m, fde_m)
        half = replace(errors, complete=np.arange(len(places_m)) % 2 == 0)
        track_map.add({"a": errors, "b": half})
        seen.append((places_m, fde_m))

    found = track_map.encoded()

    places_m, fde_m = (np.concatenate(part) for part in zip(*seen, strict=True))
    expected = defaultdict(list)
    cells = np.floor(places_m / found["cell_m"]).astype(int)
    for cell, error in zip(cells.tolist(), fde_m, strict=True):
        expected[tuple(cell)].append(error)
    assert [tuple(cell) for cell in found["cells"]] == sorted(expected)
    assert found["futures"] == [len(expected[cell]) for cell in sorted(expected)]
    np.testing.assert_allclose(
        found["mean_fde"]["a"], [np.mean(expected[cell]) for cell in sorted(expected)], atol=6e-4
    )
    assert len(expected) <= MAX_CELLS
    assert np.ptp(np.array(found["cells"]), axis=0).max() < MAX_CELLS_PER_SIDE
    assert found["cell_m"] % CELL_M == 0


def test_a_map_without_people_is_empty() -> None:
    assert TrackMap(["a"]).encoded()["cells"] == []


def test_trajectories_that_are_not_complete_are_not_on_the_map() -> None:
    """As in a recording that is shorter than the horizon."""
    track_map = TrackMap(["a", "b"])
    errors = measures_at(np.zeros((3, 2)), np.zeros(3))
    track_map.add(dict.fromkeys(["a", "b"], replace(errors, complete=np.zeros(3, dtype=bool))))

    found = track_map.encoded()

    assert found["cells"] == found["futures"] == []
    assert found["mean_fde"] == {"a": [], "b": []}
