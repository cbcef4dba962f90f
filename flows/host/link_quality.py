# SPDX-License-Identifier: Apache-2.0
"""How good a link is: random words to the board and back, errors counted, the best speed found.

What a speed is worth is the payload that gets through, repeats and all: a fast line that loses
packets can be slower than a slow one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from flows.figures import Derived, Figures
from flows.host.link import DEFAULT_BAUD, Link, LinkError, SpeedError
from flows.progress import Progress, silent

__all__ = ["SPEEDS", "Quality", "best_speed", "measure"]

SPEEDS = (DEFAULT_BAUD, 230_400, 460_800, 921_600, 1_000_000, 1_500_000, 2_000_000, 3_000_000)
"""What is tried if nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Quality(Figures):
    """A link at one speed.

    Attributes
    ----------
    baud
        Speed of the line.
    carried
        Whether the cable carried it all the time.
    seconds
        How long it took.
    packets
        Packets that came back as they were sent.
    bits
        Bits on the line in both directions, with start and stop bits.
    errors
        Packets that had to be sent again, each for one wrong bit or more.
    dropped, broken
        What the board and the host found damaged: packets, and noise between them.
    payload_bytes
        Bytes of data words, there and back.
    """

    baud: int
    carried: bool
    seconds: float = 0.0
    packets: int = 0
    bits: int = 0
    errors: int = 0
    dropped: int = 0
    broken: int = 0
    payload_bytes: int = 0

    @Derived
    def bytes_per_s(self) -> float:
        """Payload in each direction."""
        return self.payload_bytes / self.seconds if self.seconds else 0.0

    @Derived
    def error_rate(self) -> float:
        """Errors per bit."""
        return self.errors / self.bits if self.bits else 0.0

    @property
    def error_bound(self) -> float:
        """Bound on the error rate where there was no error, with 95 % confidence."""
        return 3 / self.bits


def measure(
    link: Link, seconds: float = 1.0, *, words: int | None = None, seed: int | None = None
) -> Quality:
    """Echo random words for so long, at the speed that the link has.

    Parameters
    ----------
    words
        Words of a packet; None for the longest there may be.
    seed
        Seed of the random words; None for others every time.

    Raises
    ------
    LinkError
        The board no longer answers, was reset, or echoes something else.
    """
    rng = random.Random(seed)
    words = link.most_words if words is None else words
    baud, before = link.baud, link.statistics.to_dict()
    dropped = link.greet().dropped
    began = link.clock.monotonic()
    packets = 0
    while (elapsed := link.clock.monotonic() - began) < seconds or not packets:
        sample = [rng.getrandbits(32) for _ in range(words)]
        if link.echo(sample) != sample:
            raise LinkError(f"{link.name}: the board echoes other words than it was sent")
        packets += 1
    dropped = (link.greet().dropped - dropped) % 2**16
    change = {name: value - before[name] for name, value in link.statistics.to_dict().items()}
    return Quality(
        baud=baud,
        carried=not change["speed_losses"],
        seconds=elapsed,
        packets=packets,
        bits=10 * (change["sent"] + change["received"]),
        errors=change["retries"],
        dropped=dropped,
        broken=change["broken"],
        payload_bytes=4 * words * packets,
    )


def best_speed(
    link: Link,
    speeds: Sequence[int] = SPEEDS,
    seconds: float = 1.0,
    *,
    progress: Progress = silent,
) -> tuple[int, list[Quality]]:
    """Try speeds, slowest first, and stay at the best; the speed and what each one gave.

    Speeds that the board's clock or the port does not have are left out. The best one is that with
    the most payload a second, of those that the cable carried.

    Raises
    ------
    LinkError
        The board no longer answers or was reset.
    """
    qualities = []
    for baud in sorted({DEFAULT_BAUD, *speeds}):
        progress(f"{baud:,} baud")
        try:
            carried = link.set_baud(baud)
        except SpeedError:
            continue
        qualities.append(measure(link, seconds) if carried else Quality(baud=baud, carried=False))
    usable = [quality for quality in qualities if quality.carried]
    best = max(usable, key=lambda quality: quality.bytes_per_s, default=qualities[0])
    if not link.set_baud(best.baud):
        raise LinkError(f"{link.name}: the cable carries {best.baud} baud only now and then")
    return best.baud, qualities
