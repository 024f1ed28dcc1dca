"""Dotted paths into messages, as written in tracker mappings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from social_implicit_ros.untrusted_files import short_text

_STEP = re.compile(r"([A-Za-z_]\w*)(?:\[(?:(0|[1-9]\d{0,5})|max ([\w.]+))\])?", re.ASCII)
#: Dots outside brackets.
_BETWEEN_STEPS = re.compile(r"\.(?![^\[\]]*\])")
#: Maximum number of steps of a path.
_MAX_STEPS = 32


class TrackerSpecError(ValueError):
    """A tracker mapping cannot be used; the message says why and how to fix it."""


@dataclass(frozen=True)
class FieldPath:
    """A dotted path into a message.

    Attributes:
        text: the path as written in a file.
        steps: (field, element of it or None) from the outermost message inwards. A path as element
            means the element in which the number at that path is largest.
    """

    text: str
    steps: tuple[tuple[str, int | FieldPath | None], ...]

    @classmethod
    def parse(cls, text: object, owner: str) -> FieldPath:
        """Reads a path such as `results[0].hypothesis.score`.

        Args:
            text: the path.
            owner: the key or file it belongs to, for the error message.

        Raises:
            TrackerSpecError: the text is not a path.
        """
        texts = _BETWEEN_STEPS.split(text) if isinstance(text, str) else []
        matches = [_STEP.fullmatch(step) for step in texts]
        if None in matches or not 1 <= len(matches) <= _MAX_STEPS:
            raise TrackerSpecError(
                f"{owner} is {short_text(text)}, expected a dotted path such as pose.position, "
                f"results[0].score or results[max score].label, of at most {_MAX_STEPS} steps"
            )
        steps: list[tuple[str, int | FieldPath | None]] = []
        for match in filter(None, matches):
            if match[3]:
                steps.append((match[1], cls.parse(match[3], owner)))
            else:
                steps.append((match[1], int(match[2]) if match[2] else None))
        return cls(str(text), tuple(steps))

    def __str__(self) -> str:
        """As `text`."""
        return self.text
