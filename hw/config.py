# SPDX-License-Identifier: Apache-2.0
"""The configuration of an accelerator: one frozen, validated dataclass, and named presets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from hw.errors import PlosiveError

__all__ = [
    "CHOICES",
    "HIDDEN_WORK",
    "INPUT_DIGITS",
    "LIF_LANES",
    "MOST_VALUE_BITS",
    "NETWORK_FIELDS",
    "PRESETS",
    "AcceleratorConfig",
    "ConfigError",
    "preset",
]


class ConfigError(PlosiveError, ValueError):
    """A configuration is wrong; the message names the field, the value and the rule."""


# field: (least, most) of the plain integers; the rules that need two fields are in __post_init__.
_RANGES = {
    "n_input": (1, 4096),
    "n_output": (1, 65536),
    "time_steps": (1, 2),
    "lanes": (1, 1024),
    "acc_bits": (8, 32),
    "membrane_bits": (8, 32),
    "membrane_frac": (0, 16),
    "output_lanes": (1, 2048),
    "readout_every": (1, 256),
    "max_input_shift": (0, 15),
    "max_decay_shift": (1, 15),
    "counter_bits": (4, 32),
}
HIDDEN_WORK = ("all", "union", "split")
"""The values of `hidden_work`."""

INPUT_DIGITS = ("bits", "naf")
"""The values of `input_digits`."""

LIF_LANES = ("half", "all")
"""The values of `lif_lanes`."""

CHOICES = {"hidden_work": HIDDEN_WORK, "input_digits": INPUT_DIGITS, "lif_lanes": LIF_LANES}
"""Fields that are a word out of some; a word's place is its number in the register OPTIONS."""

MOST_VALUE_BITS = 65_536
"""The widest value that Amaranth elaborates and Verilator takes."""

_MAX_LAYERS = 16
_MAX_NEURONS = 4096

# What the integers depend on: shapes, biases, T, formats, frame subsampling (docs/numerics.md).
NETWORK_FIELDS = (
    "n_input",
    "hidden",
    "recurrent",
    "n_output",
    "time_steps",
    "input_bits",
    "weight_bits",
    "acc_bits",
    "membrane_bits",
    "membrane_frac",
    "readout_every",
    "bias",
)

# Fields that machines were hashed without: at their defaults they stay out of the hash, so that it
# is the one in files and bitstreams made before the field was there.
_LATER_FIELDS = ("hidden_work", "input_digits", "lif_lanes", "bias", "low_activity")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Everything that shapes the hardware; checked when it is made.

    Parameters
    ----------
    n_input
        Features of a frame.
    hidden
        Neurons of each hidden layer, first to last.
    recurrent
        Which of these layers have recurrent weights.
    n_output
        Outputs of the readout.
    time_steps
        Evaluations of the network in a frame, T = 1 or 2.
    lanes
        PEs of a PE set; a layer of n neurons has ceil(n / lanes) tiles.
    input_bits, weight_bits
        8 and 4: the bit-serial front end and the shift-add PE are made for features of two nibbles
        and weights of one.
    acc_bits
        Width of the PEs' accumulators, which wrap modulo 2**acc_bits.
    membrane_bits, membrane_frac
        Width and binary point of a membrane.
    merge_readout
        For T = 2, whether the readout adds both time steps at once (front end Type C) rather than
        one after the other. It has no effect for T = 1.
    hidden_work
        For T = 2, which inputs of the hidden layers are fetched, and how: "all", each for both time
        steps at once (front end Type D); the "union" of those that spike in either time step,
        likewise; or "split": the PE sets share the inputs that spike in both time steps, add up,
        and then take those of one time step each. It has no effect for T = 1, which skips every
        input that does not spike.
    input_digits
        The digits of a feature, of which a PE set takes one a cycle: "bits", those of two's
        complement; or "naf", the non-adjacent form, digits -1, 0 and 1 of which at most every
        second is not 0. Both PE sets of a machine with "naf" can subtract.
    lif_lanes
        Neurons of a tile that are computed at once: "half" of them, because LIF lanes are idle for
        most of a frame; or "all", in half as many slots, with twice as many lanes.
    output_lanes
        Logits of an output beat; it divides 2 * lanes.
    readout_every
        Frame subsampling m: the readout runs on frames 0, m, 2m, ... of an utterance.
    bias
        Which hidden layers add a constant of each neuron's own to the stimulus of every time step;
        empty if none does.
    max_input_shift, max_decay_shift
        The largest values of the run-time shifts.
    counter_bits
        Width of each performance counter.
    low_activity
        Whether logic without work is kept from switching: sums reach the neurons' lanes, and new
        membranes their memory, only when a slot uses them; held spikes and counters have enables
        of their own, which clock gates can use. It costs no cycles.
    trace
        Whether to build the trace port, which shows every architectural register and is for
        verification only.

    Raises
    ------
    ConfigError
        A value breaks its rule; the message names the field, the value and the rule.
    """

    n_input: int
    hidden: tuple[int, ...]
    recurrent: tuple[bool, ...]
    n_output: int
    time_steps: int = 2
    lanes: int = 128
    input_bits: int = 8
    weight_bits: int = 4
    acc_bits: int = 12
    membrane_bits: int = 16
    membrane_frac: int = 4
    merge_readout: bool = True
    hidden_work: str = "all"
    input_digits: str = "bits"
    lif_lanes: str = "half"
    output_lanes: int = 16
    readout_every: int = 1
    max_input_shift: int = 7
    max_decay_shift: int = 7
    counter_bits: int = 32
    bias: tuple[bool, ...] = ()
    low_activity: bool = False
    trace: bool = False

    def __post_init__(self) -> None:
        for name in ("hidden", "recurrent"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)):
                raise ConfigError(f"{name} is {value!r}: it must be a list, one entry per layer")
            object.__setattr__(self, name, tuple(value))
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not _is_int(value) or not least <= value <= most:
                raise ConfigError(f"{name} is {value!r}: it must be an integer, {least} to {most}")
        for name, only in (("input_bits", 8), ("weight_bits", 4)):
            value = getattr(self, name)
            if not _is_int(value) or value != only:
                raise ConfigError(f"{name} is {value!r}: the datapath is built for {only}")
        for name in ("merge_readout", "low_activity", "trace"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ConfigError(f"{name} is {value!r}: it must be true or false")
        for name, words in CHOICES.items():
            value = getattr(self, name)
            if value not in words:
                raise ConfigError(f"{name} is {value!r}: it must be one of {', '.join(words)}")
        if not 1 <= len(self.hidden) <= _MAX_LAYERS:
            raise ConfigError(f"hidden is {self.hidden!r}: it must name 1 to {_MAX_LAYERS} layers")
        for neurons in self.hidden:
            if not _is_int(neurons) or not 1 <= neurons <= _MAX_NEURONS:
                raise ConfigError(
                    f"hidden is {self.hidden!r}: each layer must have 1 to {_MAX_NEURONS} neurons"
                )
        if len(self.recurrent) != len(self.hidden) or not all(
            isinstance(flag, bool) for flag in self.recurrent
        ):
            raise ConfigError(
                f"recurrent is {self.recurrent!r}: it must hold true or false for each of the "
                f"{len(self.hidden)} layers of hidden"
            )
        self._check_bias()
        if (2 * self.lanes) % self.output_lanes:
            raise ConfigError(
                f"output_lanes is {self.output_lanes!r}: it must divide 2 * lanes = "
                f"{2 * self.lanes}, the logits of a pair of tiles"
            )
        if self.max_input_shift > self.acc_bits + 3:
            raise ConfigError(
                f"max_input_shift is {self.max_input_shift!r}: it must be at most acc_bits + 3 = "
                f"{self.acc_bits + 3}, so that the rounding term fits the sum of both halves"
            )
        if self.membrane_frac >= self.membrane_bits - 1:
            raise ConfigError(
                f"membrane_frac is {self.membrane_frac!r}: it must be less than "
                f"membrane_bits - 1 = {self.membrane_bits - 1}"
            )
        self._check_widths()

    def _check_bias(self) -> None:
        value = self.bias
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"bias is {value!r}: it must be a list, empty or one entry per layer")
        if not all(isinstance(flag, bool) for flag in value) or len(value) not in (
            0,
            len(self.hidden),
        ):
            raise ConfigError(
                f"bias is {value!r}: it must be empty, or hold true or false for each of the "
                f"{len(self.hidden)} layers of hidden"
            )
        object.__setattr__(self, "bias", tuple(value) if any(value) else ())

    def _check_widths(self) -> None:
        """Refuse what Amaranth cannot elaborate, after minutes: values of more than 65,536 bits."""
        # On the AXI top an element of a beat takes 16 or 32 bits; a beat has two flags.
        element = 16 if self.acc_bits <= 16 else 32
        for field, what, bits in (
            ("output_lanes", "a beat of logits", self.output_lanes * element + 2),
            ("hidden", "the spikes of a frame", self.time_steps * sum(self.hidden)),
            (
                "hidden",
                f"all membranes of {self.lanes} lanes",
                0 if self.folded else self.n_layers * self.lanes * self.membrane_bits,
            ),
        ):
            if bits > MOST_VALUE_BITS:
                raise ConfigError(
                    f"{field} is {getattr(self, field)!r}: {what} would be a value of {bits:,} "
                    f"bits, and the tools take {MOST_VALUE_BITS:,}"
                )

    # ---- derived sizes -------------------------------------------------------------------

    @property
    def n_layers(self) -> int:
        """Number of hidden layers, L."""
        return len(self.hidden)

    def n_source(self, layer: int) -> int:
        """Inputs of w_in of a layer: features for layer 0, the layer before otherwise."""
        return self.n_input if layer == 0 else self.hidden[layer - 1]

    def tiles(self, layer: int) -> int:
        """Tiles of a hidden layer, ceil(n / lanes)."""
        return -(-self.hidden[layer] // self.lanes)

    def has_bias(self, layer: int) -> bool:
        """Whether a hidden layer has a bias."""
        return bool(self.bias) and self.bias[layer]

    @property
    def most_tiles(self) -> int:
        """Tiles of the hidden layer that has the most."""
        return max(self.tiles(layer) for layer in range(self.n_layers))

    def first_tile(self, layer: int) -> int:
        """Where a layer's tiles begin when those of all hidden layers are counted through."""
        return sum(self.tiles(before) for before in range(layer))

    @property
    def state_rows(self) -> int:
        """Tiles of all hidden layers: the rows of their membranes and thresholds."""
        return self.first_tile(self.n_layers)

    @property
    def output_tiles(self) -> int:
        """Tiles of the readout, ceil(n_output / lanes)."""
        return -(-self.n_output // self.lanes)

    @property
    def folded(self) -> bool:
        """Whether any hidden layer takes more than one tile."""
        return self.most_tiles > 1

    @property
    def neuron_lanes(self) -> int:
        """Neurons of a tile that are computed at once."""
        return self.lanes if self.lif_lanes == "all" else -(-self.lanes // 2)

    @property
    def parts(self) -> int:
        """Slots that it takes to compute (or load) a tile, 1 or 2."""
        return -(-self.lanes // self.neuron_lanes)

    @property
    def merges(self) -> bool:
        """Whether PE sets add up what both time steps share: "split", and there are hidden rows."""
        rows = self.n_layers > 1 or self.recurrent[0] or self.has_bias(0)
        return rows and self.time_steps == 2 and self.hidden_work == "split"

    @property
    def signed_digits(self) -> bool:
        """Whether any digit of a feature can be -1, and not only the sign bit."""
        return self.input_digits == "naf"

    @property
    def row_bits(self) -> int:
        """Width of a weight row, the word of every weight memory: lanes * weight_bits."""
        return self.lanes * self.weight_bits

    @property
    def threshold_bits(self) -> int:
        """Width of a threshold, which is positive: a membrane without its sign."""
        return self.membrane_bits - 1

    # ---- hashes --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field, JSON-able, in the order of the dataclass."""
        values = dataclasses.asdict(self)
        values["hidden"] = list(self.hidden)
        values["recurrent"] = list(self.recurrent)
        values["bias"] = list(self.bias)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AcceleratorConfig:
        """The configuration of a dictionary as `to_dict` writes it.

        Raises
        ------
        ConfigError
            A field is unknown or missing, or a value breaks its rule.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"configuration is {values!r}: it must be a table of fields")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                raise ConfigError(f"{name} is not a field: the fields are {', '.join(fields)}")
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING:
                raise ConfigError(f"{name} is missing: it has no default")
        return cls(**values)

    def replace(self, **changes: Any) -> AcceleratorConfig:
        """A copy with some fields changed, validated again."""
        return AcceleratorConfig.from_dict({**self.to_dict(), **changes})

    def _hash(self, names: tuple[str, ...]) -> str:
        """16 hex digits over fields, without later ones that have their defaults."""
        values = self.to_dict()
        names = tuple(
            field.name
            for field in dataclasses.fields(self)
            if field.name in names
            and (field.name not in _LATER_FIELDS or getattr(self, field.name) != field.default)
        )
        text = json.dumps({name: values[name] for name in names}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def network_hash(self) -> str:
        """16 hex digits over the fields that the integers depend on."""
        return self._hash(NETWORK_FIELDS)

    @property
    def config_hash(self) -> str:
        """16 hex digits over every field, without later ones that have their defaults."""
        return self._hash(tuple(field.name for field in dataclasses.fields(self)))


def _paper(**changes: Any) -> AcceleratorConfig:
    base = {"n_input": 40, "hidden": (128, 128), "recurrent": (True, True), "n_output": 1920}
    return AcceleratorConfig(**{**base, **changes})


PRESETS: dict[str, AcceleratorConfig] = {
    # The reference, arXiv 2503.21337: two time steps with merged spikes, without, and one step.
    "paper-t2": _paper(),
    "paper-t2-unmerged": _paper(merge_readout=False),
    "paper-t1": _paper(time_steps=1),
    # The network in model_zoo/checkpoints: 61 phones x 3 states.
    "speech": _paper(n_output=183),
    # The reference's shape in the fewest cycles, with its memories and PEs (docs/schedule.md). On
    # real speech a pair of tiles takes 17 slots, often fewer than its 16 beats of 16 logits need.
    "fast": _paper(hidden_work="split", input_digits="naf", lif_lanes="all", output_lanes=32),
    # The network of `speech` at the least power in real time (docs/area-timing-power.md, "Frugal"),
    # with memories from `--memory-goal energy`.
    "frugal": _paper(
        n_output=183,
        # Work is done in a hundredth of a frame's time, and idle lanes leak. Below 16 lanes rows
        # are narrower than the widest SRAM macros, and cost more energy a bit.
        lanes=16,
        # Reads hidden rows as "union" does, and sums those of both time steps once.
        hidden_work="split",
        # Fewer digits than bits: fewer accumulations, and fewer cycles of everything else.
        input_digits="naf",
        # The least: counters serve tests only, and 32 bits of each would switch and leak.
        counter_bits=4,
        low_activity=True,
    ),
    # Seconds to build and test, every mechanism of paper-t2 but with two tiles a layer.
    "tiny": AcceleratorConfig(
        n_input=8, hidden=(16, 16), recurrent=(True, True), n_output=24, lanes=8, output_lanes=4
    ),
}


def preset(name: str) -> AcceleratorConfig:
    """The configuration of that name.

    Raises
    ------
    ConfigError
        There is none of that name; the message lists the names.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset is {name!r}: the presets are {', '.join(PRESETS)}")
    return PRESETS[name]
