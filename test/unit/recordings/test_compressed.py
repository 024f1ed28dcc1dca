"""The unpacked size of compressed data is limited; data within the limits is complete."""

from __future__ import annotations

import io
import random

import pytest

from social_implicit_ros.recordings.compressed import (
    UnpackedTooLargeError,
    decompress_message,
    decompressed_blocks,
    zstd,
)

NOISE = random.Random(1).randbytes(1_000_000)


@pytest.mark.parametrize(
    "plain", [b"", b"a", NOISE, bytes(30_000_000), NOISE + bytes(100_000_000)], ids=len
)
def test_data_within_the_limits_is_complete(plain: bytes) -> None:
    packed = zstd.compress(plain)
    assert decompress_message(packed) == plain
    assert b"".join(decompressed_blocks(io.BytesIO(packed))) == plain
    twice = b"".join(decompressed_blocks(io.BytesIO(packed + packed)))
    assert twice == plain + plain


def test_data_beyond_the_limits_is_refused_before_it_is_in_memory() -> None:
    packed = zstd.compress(bytes(300_000_000))
    with pytest.raises(UnpackedTooLargeError, match="beyond 1000 times"):
        decompress_message(packed)
    unpacked = 0
    with pytest.raises(UnpackedTooLargeError, match="beyond 1000 times"):
        for block in decompressed_blocks(io.BytesIO(packed)):
            unpacked += len(block)
    assert unpacked < 100_000_000


def test_a_truncated_message_is_an_error_and_a_truncated_file_is_read_up_to_there() -> None:
    packed = zstd.compress(NOISE)[:-1000]
    with pytest.raises(zstd.ZstdError):
        decompress_message(packed)
    part = b"".join(decompressed_blocks(io.BytesIO(packed)))
    assert NOISE.startswith(part) and len(part) > 500_000
