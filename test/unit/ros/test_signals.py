"""All signals that end a process are handled."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import pytest

from social_implicit_ros.ros.processes.signals import STOP_SIGNALS, take_over


@pytest.mark.parametrize("has_nohup", [False, True])
def test_all_signals_are_handled_but_a_hangup_that_is_ignored(
    monkeypatch: pytest.MonkeyPatch, has_nohup: bool
) -> None:
    installed: dict[int, Any] = {signal.SIGHUP: signal.SIG_IGN if has_nohup else signal.SIG_DFL}
    monkeypatch.setattr(signal, "getsignal", lambda number: installed.get(number, signal.SIG_DFL))
    monkeypatch.setattr(signal, "signal", installed.__setitem__)

    def handler(number: int, frame: FrameType | None) -> None: ...

    take_over(handler)
    taken = {number for number, taken_by in installed.items() if taken_by is handler}
    assert taken == set(STOP_SIGNALS) - ({signal.SIGHUP} if has_nohup else set())
    assert set(STOP_SIGNALS) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
