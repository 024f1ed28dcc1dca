"""The paper's augmentations: each scene is left unchanged or changed in one of six ways.

Source: Mohamed et al., ECCV 2022, arXiv 2203.03057, supplementary material. Every function takes
(A, 20, 2) positions in metres and returns new ones. Random values are the same for all agents of a
scene, which keeps their relative positions consistent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from social_implicit_ros.types import FloatArray

#: Maximum shift of one step's positions along each axis, metres.
JITTER_M = 0.1
#: Speeds are multiplied or divided by up to this factor.
SPEED_FACTOR = 2.0
#: Maximum number of scenes that are merged into another.
MAX_MERGED = 3


def augment(scenes: Sequence[FloatArray], generator: np.random.Generator) -> list[FloatArray]:
    """Applies one of seven equally likely augmentations to each scene, the first being none."""
    augmented = []
    for scene, kind in zip(scenes, generator.integers(7, size=len(scenes)), strict=True):
        changed = scene
        if kind == 1:
            changed = jitter(scene, generator)
        elif kind == 2:
            changed = mirror(scene)
        elif kind == 3:
            changed = reverse(scene)
        elif kind == 4:
            changed = rotate(scene, generator.uniform(0.0, 2.0 * np.pi))
        elif kind == 5:
            changed = change_speed(scene, SPEED_FACTOR ** generator.uniform(-1.0, 1.0))
        elif kind == 6:
            chosen = generator.integers(len(scenes), size=generator.integers(1, MAX_MERGED + 1))
            changed = merge([scene, *(scenes[index] for index in chosen)])
        augmented.append(changed)
    return augmented


def jitter(scene: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Shifts all agents together, differently at every step, like a shaking camera."""
    n_steps = scene.shape[1]
    return scene + generator.uniform(-JITTER_M, JITTER_M, (n_steps, 2))


def mirror(scene: FloatArray) -> FloatArray:
    """Mirrors the scene at the x axis."""
    return scene * np.array([1.0, -1.0])


def reverse(scene: FloatArray) -> FloatArray:
    """Reverses the scene in time."""
    return scene[:, ::-1]


def rotate(scene: FloatArray, angle_rad: float) -> FloatArray:
    """Rotates the scene about the origin."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return scene @ np.array([[cos, sin], [-sin, cos]])


def change_speed(scene: FloatArray, factor: float) -> FloatArray:
    """Scales all displacements from each agent's first position by `factor`."""
    start = scene[:, :1]
    return start + factor * (scene - start)


def merge(scenes: Sequence[FloatArray]) -> FloatArray:
    """Merges scenes into one, the first scene's agents first, all about its centre."""
    centre = scenes[0].mean(axis=(0, 1))
    return np.concatenate([scene - scene.mean(axis=(0, 1)) + centre for scene in scenes])
