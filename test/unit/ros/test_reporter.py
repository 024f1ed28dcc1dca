"""What the node logs about its own state."""

from __future__ import annotations

from types import SimpleNamespace

from social_implicit_ros.ros.reporting.reporter import Reporter


def test_only_a_longer_track_timeout_is_logged() -> None:
    logged: list[str] = []
    reporter = Reporter("/predictor", SimpleNamespace(info=logged.append), SimpleNamespace())
    reporter.log = SimpleNamespace(take_counts=lambda predictor: None)
    configured = SimpleNamespace(pipeline=SimpleNamespace(track_timeout_s=1.0))
    for timeout_s in (1.0, 1.1, 1.8, 1.0, 1.7, 1.9, 1.0, 3.0):
        reporter.take_counts(SimpleNamespace(track_timeout_s=timeout_s, config=configured))
        assert reporter.state.track_timeout_s == timeout_s
    assert [text.split(",")[0] for text in logged] == [
        "tracks are dropped after 1.8 s",
        "tracks are dropped after 3 s",
    ]
