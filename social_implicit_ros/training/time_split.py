"""Splits a recording in time into a training, a validation and a test part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain

import numpy as np

from social_implicit_ros.recordings.text_formats.eth_ucy import Scene
from social_implicit_ros.types import IntArray

#: Shares of the observations (agents times windows), in chronological order.
SHARES = {"training": 0.6, "validation": 0.2, "test": 0.2}


#: Part -> minimum number of agents, summed over windows, and minimum number of people, as windows
#: of one track are correlated. Each grid point of the calibration needs 30 agents, and a model
#: would overfit to fewer people.
NEEDS = {"training": (200, 15), "validation": (60, 5), "test": (60, 5)}


@dataclass(frozen=True)
class Parts:
    """Windows of one or more recordings; see `split_in_time`."""

    training: tuple[Scene, ...]
    validation: tuple[Scene, ...]
    test: tuple[Scene, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of windows, agents and people of each part."""
        return {
            name: {
                "windows": len(scenes),
                "agents": sum(len(scene.ids) for scene in scenes),
                "people": len(set(people_of(scenes).tolist())),
            }
            for name, scenes in vars(self).items()
        }

    def require_enough(self) -> None:
        """Raises ValueError if a part is smaller than `NEEDS`."""
        counts = self.counts()
        short = [
            f"{name} has {counts[name]['agents']} windows of {counts[name]['people']} people, "
            f"expected {agents} of {people}"
            for name, (agents, people) in NEEDS.items()
            if counts[name]["agents"] < agents or counts[name]["people"] < people
        ]
        if short:
            raise ValueError(
                f"too little data: {'; '.join(short)}. A window is 7.6 s of one person, tracked "
                "throughout. Record longer, pass more bags, or see in evaluate_bag who is left out"
            )


def split_in_time(scenes: Sequence[Scene], window_ns: int) -> Parts:
    """Splits one recording, in chronological order, into a training, a validation and a test part.

    Between the parts is a gap of at least one window's length, so that they share no observation
    and are not correlated across the gap. `window_ns` is the duration of a window.
    """
    if not scenes:
        return Parts((), (), ())
    starts_ns = np.array([scene.frame for scene in scenes])
    observations = np.cumsum([len(scene.ids) for scene in scenes])
    shares = np.cumsum(list(SHARES.values()))[:-1]
    begin_2_ns, begin_3_ns = (
        int(starts_ns[np.searchsorted(observations, share * observations[-1])]) for share in shares
    )

    def between(begin_ns: int, next_begin_ns: int) -> tuple[Scene, ...]:
        # The last window ends one window's length before the next part begins.
        last_ns = next_begin_ns - 2 * window_ns
        return tuple(scene for scene in scenes if begin_ns <= scene.frame <= last_ns)

    return Parts(
        between(scenes[0].frame, begin_2_ns),
        between(begin_2_ns, begin_3_ns),
        tuple(scene for scene in scenes if scene.frame >= begin_3_ns),
    )


def people_of(scenes: Sequence[Scene]) -> IntArray:
    """(A,) number of each agent's track, unique over all recordings."""
    numbers: dict[tuple[str, int], int] = {}
    tracks = ((scene.recording, track) for scene in scenes for track in scene.ids.tolist())
    return np.array([numbers.setdefault(track, len(numbers)) for track in tracks], dtype=np.int64)


def joined(parts: Iterable[Parts]) -> Parts:
    """Concatenates the parts of several recordings."""
    found = list(parts)
    chains = ([getattr(one, entry.name) for one in found] for entry in fields(Parts))
    return Parts(*(tuple(chain.from_iterable(scenes)) for scenes in chains))
