"""The Social-Zones and their noise; without torch, as commands name them in their help."""

from __future__ import annotations

#: Lower bounds of the Social-Zones, metres per step.
ZONE_BOUNDS_M = (0.0, 0.01, 0.1, 1.2)
#: Scale of the noise in each zone, before the learnt scale (section 4 and released settings).
NOISE_WEIGHTS = (0.05, 1.0, 4.0, 8.0)
#: The released settings of the model that is tested on the ETH recording.
NOISE_WEIGHTS_ETH = (0.175, 1.5, 4.0, 8.0)
