"""Markers, decoded as RViz decodes them: from their bytes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.forecasts import S, random_forecast
from support.outputs import decoded
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.ros.outputs.markers import Markers
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, ellipse_axes


def config(**changes: Any) -> NodeConfig:
    return NodeConfig.from_values(changes)


def drawn(message: Any) -> list[Marker]:
    return list(decoded(message, MarkerArray).markers)


def by_key(markers: list[Marker]) -> dict[tuple[str, int], Marker]:
    keyed = {(marker.ns, marker.id): marker for marker in markers}
    assert len(keyed) == len(markers), "two markers share namespace and id"
    return keyed


def test_every_agent_has_a_position_a_past_a_future_and_ellipses() -> None:
    markers = drawn(Markers(config()).render(random_forecast(("1", "2", "3"))))
    assert Counter(marker.ns for marker in markers) == {
        "person": 3,
        "past": 3,
        "future": 3,
        "ellipse/0.5": 12,
        "ellipse/0.95": 12,
    }
    by_key(markers)
    for marker in markers:
        assert marker.action == Marker.ADD
        assert marker.header.frame_id == "odom"
        assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == (12, 345)
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 600_000_000)


def test_lines_run_through_past_and_mean_future() -> None:
    forecast = random_forecast(("1", "2"))
    keyed = by_key(drawn(Markers(config()).render(forecast)))
    for agent in range(2):
        past, future = keyed["past", agent], keyed["future", agent]
        height_m = forecast.heights_m[agent]
        known = forecast.past_m[agent, -forecast.n_observed[agent] :]
        points = np.array([(p.x, p.y, p.z) for p in past.points])
        np.testing.assert_allclose(points[-len(known) :, :2], known)
        # Before the agent was seen the line stands still at its first position.
        np.testing.assert_allclose(
            points[: -len(known), :2], np.tile(known[0], (8 - len(known), 1))
        )
        np.testing.assert_allclose(points[:, 2], height_m)
        points = np.array([(p.x, p.y, p.z) for p in future.points])
        np.testing.assert_allclose(points[0, :2], known[-1])
        np.testing.assert_allclose(points[1:, :2], forecast.prediction.mean[agent])
        for line in (past, future):
            assert line.type == Marker.LINE_STRIP
            assert line.scale.x == 0.06
            assert line.pose.orientation.w == 1.0
            assert (line.pose.position.x, line.pose.position.y) == (0.0, 0.0)


def test_a_person_is_a_disc_of_its_size_where_the_past_ends() -> None:
    forecast = random_forecast(("1", "2"))
    keyed = by_key(drawn(Markers(config(person_radius_m=0.2)).render(forecast)))
    for agent in range(2):
        person = keyed["person", agent]
        assert person.type == Marker.CYLINDER
        assert person.pose.position == keyed["past", agent].points[-1]
        assert (person.scale.x, person.scale.y) == (0.4, 0.4)
        # Otherwise an ellipse would cover the person and change its colour.
        assert person.scale.z > keyed["ellipse/0.5", agent * 4].scale.z > 0.0


def semi_axes_m(ellipse: Marker) -> tuple[float, float]:
    """Semi-axes of a disc or an outline, along the marker's own x and y."""
    if ellipse.type == Marker.CYLINDER:
        return ellipse.scale.x / 2, ellipse.scale.y / 2
    assert ellipse.type == Marker.LINE_STRIP
    assert ellipse.scale.x > 0.0
    points = np.array([(p.x, p.y, p.z) for p in ellipse.points])
    np.testing.assert_allclose(points[0], points[-1], atol=1e-9)
    semi_m = points[:, :2].max(axis=0)
    np.testing.assert_allclose(((points[:, :2] / semi_m) ** 2).sum(axis=1), 1.0)
    np.testing.assert_allclose(points[:, 2], 0.0)
    return semi_m[0], semi_m[1]


def test_an_ellipse_covers_its_share_of_the_gaussian() -> None:
    forecast = random_forecast(("1", "2"))
    keyed = by_key(drawn(Markers(config()).render(forecast)))
    major, minor, yaw = ellipse_axes(forecast.prediction.covariance)
    for confidence in (0.5, 0.95):
        sigmas = math.sqrt(-2.0 * math.log(1.0 - confidence))
        for agent in range(2):
            for place, step in enumerate((2, 5, 8, 11)):
                ellipse = keyed[f"ellipse/{confidence:g}", agent * 4 + place]
                x, y = forecast.prediction.mean[agent, step]
                assert (ellipse.pose.position.x, ellipse.pose.position.y) == (x, y)
                expected_m = (sigmas * major[agent, step], sigmas * minor[agent, step])
                assert semi_axes_m(ellipse) == pytest.approx(expected_m)
                half = yaw[agent, step] / 2
                assert ellipse.pose.orientation.z == pytest.approx(math.sin(half))
                assert ellipse.pose.orientation.w == pytest.approx(math.cos(half))


def test_an_ellipse_has_the_radius_that_its_level_needs() -> None:
    plain = random_forecast(("1", "2"))
    factors = np.broadcast_to(np.where(np.array(CONFIDENCES) < 0.9, 1.0, 2.0), (2, 12, 12))
    forecast = replace(plain, prediction=replace(plain.prediction, radius_scales=factors))
    before = by_key(drawn(Markers(config()).render(plain)))
    after = by_key(drawn(Markers(config()).render(forecast)))

    for level, factor in (("0.5", 1.0), ("0.95", 2.0)):
        key = (f"ellipse/{level}", 5)
        np.testing.assert_allclose(
            semi_axes_m(after[key]), factor * np.array(semi_axes_m(before[key]))
        )


def test_the_lowest_level_is_filled_and_the_others_are_outlines() -> None:
    levels = [0.95, 0.5, 0.8]
    markers = drawn(Markers(config(confidence_levels=levels)).render(random_forecast(("1",))))
    ellipses = {(m.ns, m.type) for m in markers if m.ns.startswith("ellipse")}
    assert ellipses == {
        ("ellipse/0.5", Marker.CYLINDER),
        ("ellipse/0.8", Marker.LINE_STRIP),
        ("ellipse/0.95", Marker.LINE_STRIP),
    }


def test_ellipses_fade_with_time_and_agents_keep_one_colour_each() -> None:
    forecast = random_forecast(("1", "2", "3"))
    keyed = by_key(drawn(Markers(config()).render(forecast)))
    colours = set()
    for agent in range(3):
        discs = [keyed["ellipse/0.5", agent * 4 + place] for place in range(4)]
        outlines = [keyed["ellipse/0.95", agent * 4 + place] for place in range(4)]
        assert discs[0].color.a == pytest.approx(0.35)
        for ellipses in (discs, outlines):
            alphas = [ellipse.color.a for ellipse in ellipses]
            assert alphas == sorted(alphas, reverse=True)
            assert len(set(alphas)) == 4
            assert 0.0 < alphas[-1] < alphas[0] <= 1.0
        lines = [keyed[ns, agent] for ns in ("person", "past", "future")]
        (colour,) = {(m.color.r, m.color.g, m.color.b) for m in (*discs, *outlines, *lines)}
        assert max(colour) == pytest.approx(1.0)
        colours.add(colour)
    assert len(colours) == 3


def test_an_agents_colour_depends_on_its_number_alone() -> None:
    def colour_of(ids: tuple[str, ...], agent: int) -> tuple[float, ...]:
        marker = by_key(drawn(Markers(config()).render(random_forecast(ids))))["past", agent]
        return (marker.color.r, marker.color.g, marker.color.b)

    assert colour_of(("1", "7"), 1) == colour_of(("7",), 0)


def test_agents_that_are_gone_are_deleted_once_and_the_others_keep_their_ids() -> None:
    output = Markers(config())
    first = by_key(drawn(output.render(random_forecast(("a", "b", "c")))))
    second = by_key(drawn(output.render(random_forecast(("a", "c")))))
    deleted = {key for key, marker in second.items() if marker.action == Marker.DELETE}
    # Slot 1 was b's: its ellipses have ids 4 to 7.
    assert deleted == {("person", 1), ("past", 1), ("future", 1)} | {
        (f"ellipse/{level}", number) for level in ("0.5", "0.95") for number in range(4, 8)
    }
    assert set(first) == set(second)
    assert first["past", 2].color == second["past", 2].color
    third = drawn(output.render(random_forecast(("a", "c"))))
    assert {marker.action for marker in third} == {Marker.ADD}


def test_a_newcomer_does_not_take_an_id_that_is_being_deleted() -> None:
    output = Markers(config())
    output.render(random_forecast(("a", "b")))
    keyed = by_key(drawn(output.render(random_forecast(("b", "new")))))
    actions = {key[1]: marker.action for key, marker in keyed.items() if key[0] == "past"}
    assert actions == {0: Marker.DELETE, 1: Marker.ADD, 2: Marker.ADD}
    keyed = by_key(drawn(output.render(random_forecast(("b", "new", "newer")))))
    assert {key[1] for key in keyed if key[0] == "past"} == {0, 1, 2}


def test_when_everybody_is_gone_all_markers_are_deleted_once() -> None:
    output = Markers(config())
    output.render(random_forecast(("a", "b")))
    assert {m.action for m in drawn(output.render(random_forecast(())))} == {Marker.DELETE}
    assert drawn(output.render(random_forecast(()))) == []


def test_clear_deletes_all_and_starts_again() -> None:
    output = Markers(config())
    output.render(random_forecast(("a", "b")))
    (marker,) = drawn(output.clear(3 * S))
    assert marker.action == Marker.DELETEALL
    assert {m.action for m in drawn(output.render(random_forecast(("c",))))} == {Marker.ADD}


@pytest.mark.parametrize("n_agents", [1, 15, 16, 17, 40])
def test_any_number_of_agents_has_distinct_markers(n_agents: int) -> None:
    output = Markers(config())
    output.render(random_forecast(("first",)))
    ids = tuple(f"agent {n}" for n in range(n_agents))
    forecast = random_forecast(ids)
    markers = [m for m in drawn(output.render(forecast)) if m.action == Marker.ADD]
    assert len(markers) == n_agents * 11
    ends = [m.points[-1] for m in markers if m.ns == "future"]
    np.testing.assert_allclose([(p.x, p.y) for p in ends], forecast.prediction.mean[:, -1])


@pytest.mark.parametrize("frame", ["m", "map", "odom", "a_long/frame_name"])
@pytest.mark.parametrize("levels", [[0.5], [0.125, 0.9, 0.95]])
def test_the_message_is_valid_for_all_lengths_of_its_strings(
    frame: str, levels: list[float]
) -> None:
    output = Markers(config(fixed_frame=frame, confidence_levels=levels))
    forecast = random_forecast(("1", "2", "3"))
    markers = drawn(output.render(forecast))
    assert len(markers) == 3 * (3 + 4 * len(levels))
    assert {marker.header.frame_id for marker in markers} == {frame}
    numbers = [v for m in markers for v in (m.pose.position.x, m.pose.position.y, m.scale.x)]
    assert np.abs(numbers).max() < 1e3


def test_no_uncertainty_is_drawn_small_but_never_zero() -> None:
    forecast = random_forecast(("1",), n_samples=1)
    assert not forecast.prediction.covariance.any()
    for marker in drawn(Markers(config()).render(forecast)):
        assert marker.scale.x > 0.0
        if marker.type == Marker.CYLINDER:
            assert min(marker.scale.y, marker.scale.z) > 0.0
        if marker.ns.startswith("ellipse"):
            assert min(semi_axes_m(marker)) > 0.0


def test_ellipses_beyond_the_horizon_are_left_out() -> None:
    markers = drawn(Markers(config()).render(random_forecast(("1",), n_steps=6)))
    ellipses = [m for m in markers if m.ns == "ellipse/0.95"]
    assert len(ellipses) == 2  # 1.2 s and 2.4 s of 2.4 s


def test_two_times_nearest_to_one_step_give_one_ellipse() -> None:
    output = Markers(config(**{"markers.ellipse_times_s": [1.1, 1.2, 1.3]}))
    markers = drawn(output.render(random_forecast(("1",))))
    assert sum(m.ns == "ellipse/0.95" for m in markers) == 1
