"""A picture of one colour, as small as a PNG can be. Pure."""

from __future__ import annotations

import base64
import struct
import zlib


def picture(colour: tuple[int, int, int]) -> str:
    """Return a PNG of one pixel of `colour` (red, green, blue; 0 to 255), in base64."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    line = bytes((0, *colour))
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(line)), _chunk(b"IEND", b""))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
