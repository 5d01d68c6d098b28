"""Request ids as they are kept: hashed to eight bytes, and which of them are joined."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from xxhash import xxh3_64_digest, xxh3_64_intdigest


class Ids:
    """Hashes ids. seed: 64 bits. share: of the ids that are joined; whoever has the same seed keeps the same ones."""

    def __init__(self, seed: int, share: float) -> None:
        self.seed = seed
        self._limit = min(int(share * 2.0**64), 2**64 - 1)

    def of(self, ids: Sequence[str]) -> list[bytes]:
        """Give each id in eight bytes."""
        try:
            return list(map(xxh3_64_digest, map(str.encode, ids), repeat(self.seed)))
        except UnicodeEncodeError:
            return [xxh3_64_digest(each.encode(errors="surrogatepass"), self.seed) for each in ids]

    def is_sampled(self, digest: bytes) -> bool:
        """Tell whether an id is joined."""
        return xxh3_64_intdigest(digest) <= self._limit  # hashed anew: which ids, must not hang on where they lie
