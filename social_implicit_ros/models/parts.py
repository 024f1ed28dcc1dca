"""A large crowd in parts, for models in which people only see those who are near.

Such a model looks at every pair of people, which for a few is quicker than to ask who is near, and
for a thousand is mostly work in vain. A part holds people who stand together and, beside them, all
whom they see; what the model says of these others is dropped. So nothing changes but the time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from social_implicit_ros.models.features import Float32Array
from social_implicit_ros.types import BoolArray, IntArray

#: Fewer people are quicker looked at all at once.
FEWEST = 500
#: A part has no more people of its own, unless they stand so close that parts would not help.
_LARGEST_PART = 300


def parts_of(places_m: Float32Array, range_m: float) -> Iterator[tuple[IntArray, IntArray]]:
    """Splits people into parts.

    Args:
        places_m: (A, 2) where they stand, metres.
        range_m: how far they see, metres.

    Yields:
        (P,) rows of the people of a part, and (N,) rows of the others whom they see. Everybody is
        in exactly one part.
    """
    columns_m = np.ascontiguousarray(places_m.T)  # numpy is slow on rows of two
    everybody = np.arange(len(places_m))
    for own, near in _split(columns_m, range_m, everybody, everybody):
        is_own = np.zeros(len(places_m), dtype=np.bool_)
        is_own[own] = True
        yield own, near[~is_own[near]]


def _split(
    columns_m: Float32Array, range_m: float, own: IntArray, near: IntArray
) -> Iterator[tuple[IntArray, IntArray]]:
    """Parts of some people, given all whom any of them sees, themselves among these."""
    if len(own) > _LARGEST_PART:
        own_m = columns_m[:, own]
        along = int((own_m.max(axis=1) - own_m.min(axis=1)).argmax())
        halves = np.array_split(own[np.argsort(own_m[along], kind="stable")], 2)
        seen = [near[_seen(columns_m[:, near], columns_m[:, half], range_m)] for half in halves]
        # In the time of pairs.
        if sum(len(some) ** 2 for some in seen) < len(near) ** 2:
            for half, some in zip(halves, seen, strict=True):
                yield from _split(columns_m, range_m, half, some)
            return
    yield own, near


def _seen(columns_m: Float32Array, own_m: Float32Array, range_m: float) -> BoolArray:
    """(N,) which of (2, N) places lie in the box around one's own, or within range of it."""
    within = np.ones(columns_m.shape[1], dtype=np.bool_)
    for place_m, mine_m in zip(columns_m, own_m, strict=True):
        within &= place_m >= mine_m.min() - range_m
        within &= place_m <= mine_m.max() + range_m
    return within
