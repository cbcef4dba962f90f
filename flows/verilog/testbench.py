# SPDX-License-Identifier: Apache-2.0
"""The plain Verilog bench of `plosive generate --testbench`."""

import jinja2
import numpy as np

from flows.verilog.beats import feature_payload, feature_values, logit_payloads
from flows.verilog.contents import weight_requests
from golden_model import CycleModel, Network, random_features
from golden_model.files.escape import template_word
from hw.config import AcceleratorConfig
from hw.core.stream_buffers import feature_beat, logit_beat
from hw.core.weight_port import weight_request
from hw.schedule import WEIGHT_WORD_BITS, Schedule

__all__ = ["BENCH", "files"]

BENCH = "plosive_tb.v"

_SEED = 1
_FRAMES = (3, 2)  # of each utterance
_PATTERN = 1024  # clocks after which the gaps and stalls repeat


def files(
    config: AcceleratorConfig, network: Network | None, *, preloaded: bool, bake: bool
) -> dict[str, bytes]:
    """The bench and its stimulus and expectations, by file name.

    Parameters
    ----------
    config
        The hardware.
    network
        What it computes; None for a random one.
    preloaded
        The hardware holds the network from the beginning; nothing is loaded.
    bake
        The hardware has no weight port.
    """
    network = Network.random(config, _SEED) if network is None else network.on(config)
    schedule = Schedule(config)
    features = random_features(config, sum(_FRAMES), _SEED)
    starts = [sum(_FRAMES[:index]) for index in range(len(_FRAMES))]
    offer, take = _pattern(_SEED, 4), _pattern(_SEED + 1, 12)
    beats, counters, clocks = _play(config, network, features, starts, offer, take)
    expected = logit_payloads(config, network, features, starts)
    request_bits = weight_request(config, schedule).size
    logit_bits = logit_beat(config).size
    feature_bits = feature_beat(config).size
    requests = [] if preloaded else weight_requests(config, network).tolist()
    values = {
        "frames": len(features),
        "utterances": len(starts),
        "loads": bool(requests),
        "weight_port": not bake,
        "trace": config.trace,
        "features": len(beats),
        "beats": len(expected),
        "pattern": _PATTERN,
        "clock_limit": 2 * clocks + 1000,
        "output_lanes": config.output_lanes,
        "acc_bits": config.acc_bits,
        "feature_bits": feature_bits,
        "logit_bits": logit_bits,
        "request_bits": request_bits,
        "word_bits": WEIGHT_WORD_BITS,
        "requests": len(requests),
        "counters": counters,
        "counter_bits": config.counter_bits,
    }
    made = {
        BENCH: _template().render(values).encode(),
        "plosive_tb_features.hex": _hex(beats, feature_bits),
        "plosive_tb_logits.hex": _hex(expected, logit_bits),
        "plosive_tb_offer.hex": _hex(offer, 1),
        "plosive_tb_take.hex": _hex(take, 1),
    }
    if requests:
        made["plosive_tb_weights.hex"] = _hex(requests, request_bits)
    return made


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.verilog", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=template_word,
    )
    return environment.get_template("testbench.v.j2")


def _pattern(seed: int, longest: int) -> list[int]:
    """Alternating runs of clocks that are on and off, 1 to `longest` clocks each."""
    lengths = np.random.default_rng(seed).integers(1, longest + 1, _PATTERN)
    return np.repeat(np.arange(_PATTERN) % 2 == 0, lengths)[:_PATTERN].astype(int).tolist()


def _play(
    config: AcceleratorConfig,
    network: Network,
    features: np.ndarray,
    starts: list[int],
    offer: list[int],
    take: list[int],
) -> tuple[list[int], dict[str, int], int]:
    """Payloads of the features stream, the counters at the end, and the clocks it takes."""
    ends = {start - 1 for start in [*starts[1:], len(features)]}
    flags = [(frame in starts, frame in ends) for frame in range(len(features))]
    beats = [feature_payload(*beat) for beat in feature_values(features, starts)]
    model = CycleModel(config, network)
    clocks = 0
    for feature, ready in model.drive(
        features,
        feature_valid=offer,
        logits_ready=take,
        starts=[start for start, _ in flags],
        ends=[end for _, end in flags],
    ):
        model.advance(feature, ready)
        clocks += 1
    return beats, model.counters, clocks


def _hex(values: list[int], bits: int) -> bytes:
    digits = -(-bits // 4)
    return "".join(f"{value:0{digits}x}\n" for value in values).encode()
