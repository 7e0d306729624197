"""Where content is cut into chunks, in plain Python: for machines without the library that the server has.

The same rule as images/chunker.py, which is the one that counts (a test compares them): FastCDC (Xia et al.,
USENIX ATC 2016, and the two-byte steps of the 2020 paper) with 64 KiB on average, 16 to 256 KiB, and
normalization level 1. Only the last 48 bytes decide, and of their hash the lowest 26 bits nearly always
decide alone: those fit the small integers that Python adds fastest. About 20 MB/s, so it is used only where
it saves sending. Pure; Python 3.8, standard library only.
"""

from __future__ import annotations

import base64
import struct
from typing import List, Union

AVERAGE, MIN, MAX = 64 << 10, 16 << 10, 256 << 10
WHOLE = 64 << 10  # files up to here are one chunk
_SMALL, _LARGE = 0x0000D90703537000, 0x0000D90F03530000  # before and after the average size
_REACH = 48  # bytes that a mask's highest bit looks back
_LOW = (1 << 26) - 1
_TABLE = base64.b64decode(
    "O108fSB+N9x4TWi6kRIwhs1SiA+ILnKY6s+OThn9zKfDHzhd+9FjKx1fJwAeJavmgxML3jya2ZHEsiVnbpt2SaoymyngjrSZtn/L"
    "0h5XfVgAJ7qq2irPa+PvLVrHPCImCJDyTW7TEreoCeA2hR18fvCm/l4AE9gbHQJjBEUs7BQDhkYyZI4kj82qzz3Nkrm09eAS5jwY"
    "eFaIYvnTghwAtqgvczh1D2+KHlg9xsHLC296MUW2l0On8auyD+5ASAfrsUs8/ge4Ol253CeJituaDzcD9ekbqmK+zwu4ZoFffZg9"
    "mGfEHqnc0xvh+mVEK/IsFDANpMVWMdnmmOnLxlRcmUdjEH7GTpKlxlgh/GVpaiR2GWwGSCLwt0hb6EHzUl4B9lK8nIWXT/XK2DUv"
    "rOnj6Spu0dzrNemOxvSDutwRaA88/YwX6c8S8Ym4PF4upWRxrmZc/STjkqnsM8TlBMuJFT+5sV/J/nRR1/0f0ZRfIZUxreCFNEPv"
    "2CVe/Jhj4eLSEOq2AI1WQs9G8EhjJXrIBKUtxCp4mifT2qrfnOd69WVrR5zVPYf+u2MJ4tP5PbcvxXOP+6of+dZr1X8/Ja95aGdg"
    "VIbZDQpK4U0LlmO/va63u9jYFusEFN74pPFrNaEW55Mthaqv/tYIFhy66Qz9SIVVB76ylPCLkSNOpv/TmbKtcM9LJDXzAtKJqXVl"
    "vC0njlWEN//Kmd6W0nBLcRXAQAiJu838Zg5BXg1OZ9ySEo1yqfiRcGPtl0OLadQJ4Bbj30/til2KQ5cA9B3PQdQD90gU6wOOUmA/"
    "na+6zFji1lH+L0WOS+Fwr0RX7EFN9qlABuYvFFESMxS9EBTRc7qSzN7zGOJe1Xdgn+oN6d/KhSVFneHnbCBiS67sGJYX4tZmEmos"
    "Bqtag8uxMhUyNg9hMmVCFQPbtAEjLWfCh+oImrNsk7/1pWvWtk/7IDbKttmNznt4WxvnrU/ttC72GJ/RY9yQUohwOYj2Nl+cHSxp"
    "GITGQFg2gNmb/jzUYkwHWT7Gfx6o2F18WAUBSELUgLVxSQtkm8tagoaIvNVwjtebGPDph8hi+9Ly8JgnMWcfDNgsuvE+ixbYwGOO"
    "oxCcvZUbutFBBFv7OFytKsvBoK8ffTDmRE2J3wO/36GMx3G4GI/5mDRCnbAcObshSt0H/ghqH48HwZsfaz/5VqKXsb9P/lWU1Vjk"
    "k8VPx0C/wkx2RVLLkxpwb4qFIMsyIp0yKTW9UiVg0PXcT++vnbzEg1WWm7YP2Bw5hcC1auA4F+FWDyvawbtPgdiSstWwxIZPTijS"
    "1z7MSfnZ1sJjUTB+mbUrpl6K8raI2oSnUvXXJSO5GyC2bZX/H/RjSAZWLyFVVFgzmsDOR/iJM2NGSHgj5QibQNjkcnx+vG2VklqP"
    "cnfpSXC6/KL0BrHIu1BbH4qV8XkQcNMEr5/JAoYFVECrf8kw50gxLSX7yiq1oRD0pLI0pNV1kDAdVQR+dHM7Y3KIbGFZHik0Ard8"
    "RE4GRR80pNPpfdcxWNgU2BvFewNJQkJbm9pp4gMv+eUy2btirgZriyF55ZVF4QwvjXHYf/dIPrLSP8AAlF/OvcmNhodku76Zsmyi"
    "Gx7GIoTAv8NY4PzE8Ko2K19KvvqHjUWN/XSsL5YHxRmk4/s334y/qb9pfkPKxXTlhvFKP2j0zVMkoj0HbxzlIuclzYBIhozIvzxy"
    "nrJGQ2LY9s1Xs8we2GMp5SQlVBV3YqpoitWuGsAKJCVmJpv4RRaLGkdTrKdL94mv7/8ufjxsM2IJO2/M20zo9QvSjAmyAGotuVro"
    "qpOXWw1iPD0ajBhgXTk1M4xbW7b2E2ytPHEPU6IHAfjYpquMWtLn6TxnQLWsUSesqimMe/Y8IHWJX3i9n34BSoBcssnp9PnIwDLv"
    "1gSYJ+uR8yvkWfSCwW+92SzgxXRaqowKqo+ymNlluSs3+SxsgDsVjFSl6U4PDniV+bbpDAowMueTn6pDbHh00Wv+j2qKQMlEmCuG"
    "Jj/S+uKF+zn5hOWDd5qN9y12GdPy15qN6NXdHtEDc1TWZoTiAEyCpOZoqOUx1Ap2aLBE5tcFeFOL0CwR20VDEHjF9IKXcSG7f2pR"
    "rXPVzL007/jd5DegfTVuF81HsnggQ8lWJ5+yUUE+QdSazNcLYGUlE9MclbMeihtJssrnPf0by0wbNNmDMbH1tw94TjnyIzjZLxhh"
    "PUoGTfQg8dja4l8Lzr4z93wVroVe/DyIs7kS6xCclWouyWuv7qUaoAW14K0Oh1UA1wUnxLuO42xXGWQhzEQTxNKGzDbuOVZUoj2B"
    "iyqBd7HcE9Fhq9xzT0TeX41etWBxfhdKbImi1H2WSSZqIR5bE6QyK7aekPdmlgn4tfw8IeasVb7c2smbVrYrYRZt6vSPZrk5eX6c"
    "NfMy+cDmrprMcz9qmoeNsD2hYeQcwQjCt9dK5TWRTVFNSTsLEdNkac4mTR37qXQaqdHy3HQ23AZwc4AWYEwqJyMdNuluk/PVdmaI"
    "EZeDjRlKKoMJCqrUDPHnYVkWaLNdc2MjZJf3MKcwEIDjc3ndTVAt6ilxgnBCwsXrhY8yYl94avue36+9/9ruDYaEkLKkYXNmsyaG"
    "CfauDjWg/kYXPtGgfek+gk8RB5uLEV6kzKiTqZJ0VY+uu/sebiLgigOz6mNf26NpjdDPU2WTKFA6XM3jsx5v1deAjj5CIdNhRBPv"
    "FNDYa/GiLOHYMNPxbF3bqr0rKkUVBOE="
)
_GEAR = struct.unpack(">256Q", _TABLE)
_GEAR_LOW = [value & _LOW for value in _GEAR]
Bytes = Union[bytes, memoryview]


def cut_at(data: Bytes, place: int) -> int:
    """The end of the chunk that begins at `place`. The data must reach `MAX` further, or be at its end."""
    left = min(len(data) - place, MAX)
    if left <= MIN:
        return len(data) if len(data) - place <= MIN else place + left
    start, middle, end = place + MIN, place + min(left, AVERAGE) // 2 * 2, place + left // 2 * 2
    found, low = _search(data, start, start, middle, _SMALL, 0)
    if found < 0:
        found, low = _search(data, start, middle, end, _LARGE, low)
    return found if found >= 0 else place + left


def _search(data: Bytes, start: int, begin: int, end: int, mask: int, low: int) -> "tuple[int, int]":
    """The first place in [begin, end) whose hash (which starts at `start`) has no bit of the mask."""
    table, wanted = _GEAR_LOW, mask & _LOW
    for place, byte in enumerate(data[begin:end], begin):
        low = ((low << 1) + table[byte]) & _LOW
        if not low & wanted and not _hash(data, start, place) & mask:
            return place, low
    return -1, low


def _hash(data: Bytes, start: int, place: int) -> int:
    """All bits that a mask may have, of the hash up to and with `place`."""
    value = 0
    for byte in data[max(start, place + 1 - _REACH) : place + 1]:
        value = (value << 1) + _GEAR[byte]
    return value


def cuts(data: Bytes) -> List[int]:
    """The ends of all chunks of a whole stretch."""
    ends = []
    place = 0
    while place < len(data):
        place = cut_at(data, place)
        ends.append(place)
    return ends
