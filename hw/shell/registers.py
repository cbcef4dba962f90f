# SPDX-License-Identifier: Apache-2.0
"""The register map: one table, from which the hardware, the documents and the drivers are made.

Plain Python without Amaranth, so that a driver can import it. Every register is a word of 32 bits
at the same offset in every configuration; what a configuration has not answers with an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from hw.config import CHOICES, AcceleratorConfig

__all__ = [
    "CONSTANTS",
    "COUNTER_REGISTERS",
    "IRQ_SOURCES",
    "MAGIC",
    "MAP_VERSION",
    "REGISTERS",
    "Access",
    "Field",
    "Register",
    "config_of_constants",
    "constant_values",
    "element_bits",
    "feature_words",
    "register",
    "result_words",
]

MAGIC = 0x56534C50  # "PLSV", lowest byte first
MAP_VERSION = (1, 0, 0)
_MAX_LAYERS = 16
_FEATURES_PER_WORD = 4


class Access(Enum):
    """What a register takes; anything else answers with an error."""

    READ = "read-only"
    WRITE = "write-only"
    READ_WRITE = "read-write"
    CLEAR = "read, write 1 to clear"


@dataclass(frozen=True)
class Field:
    """Bits of a register. Bits that belong to no field read as 0 and are ignored when written.

    Attributes
    ----------
    lsb, width
        The lowest bit of the field, and the number of its bits.
    doc
        One sentence.
    values
        Names of its values, or empty.
    """

    name: str
    lsb: int
    width: int
    doc: str
    values: tuple[tuple[str, int], ...] = ()

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return ((1 << self.width) - 1) << self.lsb


@dataclass(frozen=True)
class Register:
    """One word of the map.

    Attributes
    ----------
    offset
        Byte address.
    constant
        Whether it never changes in one build.
    volatile
        Whether the hardware changes it.
    needs
        What a build must have for it, "weights" (not baked) or nothing; without, an access to it
        is an error.
    """

    name: str
    offset: int
    access: Access
    doc: str
    fields: tuple[Field, ...]
    constant: bool = False
    volatile: bool = False
    needs: str = ""

    @property
    def readable(self) -> bool:
        return self.access is not Access.WRITE

    @property
    def writable(self) -> bool:
        return self.access is not Access.READ

    def field(self, name: str) -> Field:
        """The field of that name."""
        return next(field for field in self.fields if field.name == name)

    def unpack(self, word: int) -> dict[str, int]:
        """The fields of a word."""
        return {field.name: (word & field.mask) >> field.lsb for field in self.fields}

    def pack(self, **values: int) -> int:
        """A word of fields; those that are not given are 0.

        Raises
        ------
        ValueError
            A value does not fit its field.
        """
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{self.name}.{name} is {value}: it has {field.width} bits")
            word |= value << field.lsb
        return word


def _word(name: str, doc: str) -> tuple[Field, ...]:
    return (Field(name, 0, 32, doc),)


def _made(name: str, access: Access, doc: str, *fields: Field, **more: object) -> Register:
    """A register that has no place in the map yet."""
    return Register(name, 0, access, doc, fields, **more)


def _constants() -> Iterator[tuple[str, str, tuple[Field, ...]]]:
    """Name, doc and fields of the constant registers, in the order of their offsets."""
    yield from _identity()
    yield from _shapes()
    yield from _layers()


def _identity() -> Iterator[tuple[str, str, tuple[Field, ...]]]:
    """Which machine this is: its version, its hashes and the options of its build."""
    yield "ID", "Says that this is a Plosive.", _word("magic", 'The bytes "PLSV", lowest first.')
    yield (
        "VERSION",
        "Version of the register map. A driver works with its major version.",
        (
            Field("patch", 0, 8, "Corrections only."),
            Field("minor", 8, 8, "Registers or fields were added."),
            Field("major", 16, 16, "Something moved or changed its meaning."),
        ),
    )
    for name, doc in (
        ("CONFIG_HASH", "configuration_hash of plosive.json: every field."),
        ("NETWORK_HASH", "network_hash of plosive.json: the fields that the integers depend on."),
    ):
        for half, place in ((0, "high"), (1, "low")):
            yield f"{name}_{half}", f"Hash of the hardware, {place} word.", _word("hash", doc)
    yield (
        "BUILD_HASH",
        "Which network the hardware was built with.",
        _word("hash", "Hash of initial contents and options; 0: the weights must be loaded."),
    )
    yield (
        "BUILD",
        "Options of the build.",
        (
            Field("baked", 0, 1, "The network is constant: the WEIGHT registers answer errors."),
            Field("streams", 1, 1, "There are AXI streams; otherwise registers carry all data."),
            Field("best", 8, 8, "Entries of the best-N list; 0: MODE.readout is always logits."),
            Field("result_depth", 16, 16, "Words that RESULTS buffers before the machine waits."),
        ),
    )


def _choice(name: str, lsb: int) -> Field:
    """The field of an option that is a word out of some, by its number."""
    words = ", ".join(f"{number} {word}" for number, word in enumerate(CHOICES[name]))
    return Field(name, lsb, 2, f"{name}: {words}.")


def _shapes() -> Iterator[tuple[str, str, tuple[Field, ...]]]:
    """Sizes, widths and formats, all but those of the hidden layers."""
    yield (
        "FRAME",
        "Size of a frame.",
        (
            Field("n_input", 0, 16, "Features of a frame."),
            Field("readout_every", 16, 16, "m: frames 0, m, 2m, ... of an utterance have logits."),
        ),
    )
    yield "OUTPUTS", "Size of a readout.", _word("n_output", "Logits of a frame.")
    yield (
        "MACHINE",
        "Width of the machine.",
        (
            Field("lanes", 0, 16, "Processing elements of each of the two sets."),
            Field("output_lanes", 16, 16, "Result elements in a beat of the result stream."),
        ),
    )
    yield (
        "FORMATS",
        "Widths of numbers.",
        (
            Field("acc_bits", 0, 8, "Bits of an accumulator, and so of a logit."),
            Field("membrane_bits", 8, 8, "Bits of a membrane."),
            Field("membrane_frac", 16, 8, "Of these, bits after the binary point."),
            Field("counter_bits", 24, 8, "Bits of a counter, which counts modulo 2^counter_bits."),
        ),
    )
    yield (
        "SHIFTS",
        "Widths of inputs and weights, and the largest run-time shifts.",
        (
            Field("input_bits", 0, 8, "Bits of a feature."),
            Field("weight_bits", 8, 8, "Bits of a weight."),
            Field("max_input_shift", 16, 8, "Largest input_shift of a parameter word."),
            Field("max_decay_shift", 24, 8, "Largest decay_shift of a parameter word."),
        ),
    )
    yield (
        "OPTIONS",
        "Layers, and options of the configuration.",
        (
            Field("layers", 0, 8, "Hidden layers."),
            Field("time_steps", 8, 8, "Evaluations of the network in a frame, T."),
            Field("merge_readout", 16, 1, "The readout sums both time steps in one pass."),
            Field("trace", 17, 1, "The configuration has the trace port (inside the core only)."),
            _choice("hidden_work", 18),
            _choice("input_digits", 20),
            _choice("lif_lanes", 22),
            Field("low_activity", 24, 1, "Logic without work is kept from switching."),
        ),
    )
    yield (
        "FEATURE_FORMAT",
        "How features are packed into FEATURES.",
        (Field("frame_words", 0, 16, "Words of a frame."),),
    )
    yield (
        "RESULT_FORMAT",
        "How results are packed into RESULTS.",
        (
            Field("element_bits", 0, 8, "Bits of a result element: 16, or 32 for wide logits."),
            Field("best_words", 8, 8, "Words of a frame's best-N list; 0 without one."),
            Field("logits_words", 16, 16, "Words of a frame's logits modulo 65536."),
        ),
    )


def _layers() -> Iterator[tuple[str, str, tuple[Field, ...]]]:
    """The hidden layers, a register each."""
    for layer in range(_MAX_LAYERS):
        yield (
            f"HIDDEN_{layer}",
            f"Hidden layer {layer}; 0 if there is none.",
            (
                Field("neurons", 0, 16, "Neurons of the layer."),
                Field("bias", 30, 1, "The layer has a bias."),
                Field("recurrent", 31, 1, "The layer sees its own spikes of the previous frame."),
            ),
        )


_RESULT_FLAGS = (
    Field("busy", 0, 1, "A frame is buffered or running, or its results are not all taken."),
    Field("features_ready", 1, 1, "FEATURES accepts a word (MODE.source is registers)."),
    Field("results_ready", 2, 1, "RESULTS holds a word."),
    Field("result_last", 3, 1, "That word is the last of its frame."),
    Field("result_end", 4, 1, "That word belongs to the last frame of an utterance."),
    Field("weights_ready", 5, 1, "WEIGHT_DATA can be accessed: the machine is idle."),
    Field("blocked", 6, 1, "The machine waits for results to be taken."),
    Field("error", 7, 1, "A bit of ERRORS is set."),
)

_COUNTERS = {
    "CYCLES": "Clock cycles in which a frame was running, stalls included.",
    "STALLS": "Of these, cycles in which the machine waited for results to be taken.",
    "FRAMES": "Frames finished.",
    "INPUT_ROWS": "Rows read from the input memory.",
    "HIDDEN_ROWS": "Rows read from the hidden memory, both banks.",
    "READOUT_ROWS": "Rows read from the readout memory, both banks.",
    "PE_OPERATIONS": "Accumulations of a PE set; one is `lanes` PE operations.",
    "SKIPPED_ROWS": "Rows that zero skipping saved; exact between frames.",
}

_IRQ_FIELDS = (
    Field("results", 0, 1, "RESULTS holds a word."),
    Field("features", 1, 1, "FEATURES accepts a word."),
    Field("idle", 2, 1, "STATUS.busy is 0."),
    Field("error", 3, 1, "A bit of ERRORS is set."),
)


IRQ_SOURCES = tuple(field.name for field in _IRQ_FIELDS)
"""States that can raise the irq output, bit 0 first."""


def _others() -> Iterator[Register]:
    """All registers that are not constant, in the order of their offsets; offset 0 here."""
    yield from _control()
    yield from _state()
    yield from _data()
    yield from _weights()
    yield from _counters()


def _control() -> Iterator[Register]:
    """What the host tells the machine to do."""
    yield _made(
        "CONTROL",
        Access.WRITE,
        "Actions: writing a 1 to a bit performs its action once.",
        Field(
            "soft_reset",
            0,
            1,
            "Like the reset input, but weights and parameters stay: drops work in progress, sets "
            "MODE, IRQ_ENABLE, ERRORS and FRAME_FLAGS to their reset values and counters to 0.",
        ),
        Field("clear_counters", 1, 1, "Sets all counters to 0."),
    )
    yield _made(
        "MODE",
        Access.READ_WRITE,
        "What the results are and which way data travels. Refused while STATUS.busy is 1.",
        Field(
            "readout",
            0,
            1,
            "All logits, or the best-N list (refused in a build without one).",
            (("logits", 0), ("best", 1)),
        ),
        Field(
            "source",
            1,
            1,
            "Features and results through the AXI streams, or through FEATURES and RESULTS. Always "
            "registers in a build without streams; otherwise streams after a reset.",
            (("streams", 0), ("registers", 1)),
        ),
    )


def _state() -> Iterator[Register]:
    """What the machine tells the host, and the interrupts that spare it the asking."""
    yield _made("STATUS", Access.READ, "What can be done now.", *_RESULT_FLAGS, volatile=True)
    yield _made(
        "ERRORS",
        Access.CLEAR,
        "Errors since they were last cleared.",
        Field(
            "access",
            0,
            1,
            "An access was refused that waiting would not have helped: no such register, wrong "
            "direction, no such weight, MODE while busy.",
        ),
        Field(
            "feature_last",
            1,
            1,
            "tlast of the feature stream was not on the last feature of a frame. Frames still end "
            "by count; a soft reset begins a new one.",
        ),
        Field(
            "overrun",
            2,
            1,
            "A feature was offered and refused while the machine waited for results to be taken: "
            "the host takes results too slowly. Nothing is lost.",
        ),
        volatile=True,
    )
    yield _made(
        "IRQ_ENABLE",
        Access.READ_WRITE,
        "Which states raise the irq output.",
        *_IRQ_FIELDS,
    )
    yield _made(
        "IRQ_STATUS",
        Access.READ,
        "Which of the enabled states hold; irq is high while any does.",
        *_IRQ_FIELDS,
        volatile=True,
    )


def _data() -> Iterator[Register]:
    """Features in, results out."""
    yield _made(
        "FRAME_FLAGS",
        Access.READ_WRITE,
        "Flags of the next frame written to FEATURES; both return to 0 with its first word.",
        Field("start", 0, 1, "The frame starts an utterance."),
        Field("end", 1, 1, "The frame ends an utterance."),
        volatile=True,
    )
    yield _made(
        "FEATURES",
        Access.WRITE,
        "Four features, lowest byte first; unused bytes of a frame's last word are ignored. "
        "Refused if MODE.source is streams or the machine cannot accept it yet.",
        *(Field(f"feature_{i}", 8 * i, 8, "int8.") for i in range(_FEATURES_PER_WORD)),
    )
    yield _made(
        "RESULTS",
        Access.READ,
        "The next word of results, lowest element first; unused bits of a frame's last word are "
        "0. Each read takes a word; refused if there is none.",
        Field("word", 0, 32, "Two elements of 16 bits or one of 32: see RESULT_FORMAT."),
        volatile=True,
    )


def _weights() -> Iterator[Register]:
    """The weight port."""
    yield _made(
        "WEIGHT_ADDRESS",
        Access.WRITE,
        "Region and word of the next WEIGHT_DATA.",
        Field("word", 0, 16, "Word in the row."),
        Field(
            "region",
            16,
            3,
            "Memory bank, thresholds (row: tile, word: lane) or parameters (row: layer).",
            (
                ("input", 0),
                ("hidden_0", 1),
                ("hidden_1", 2),
                ("readout_0", 3),
                ("readout_1", 4),
                ("threshold", 5),
                ("parameter", 6),
            ),
        ),
        needs="weights",
    )
    yield _made(
        "WEIGHT_ROW",
        Access.WRITE,
        "Row of the next WEIGHT_DATA.",
        Field("row", 0, 32, "Row in the region."),
        needs="weights",
    )
    yield _made(
        "WEIGHT_DATA",
        Access.READ_WRITE,
        "The word at WEIGHT_ADDRESS and WEIGHT_ROW, which then advance to the next word, and "
        "after the last word of a row to the next row. Refused outside the region and while "
        "STATUS.weights_ready is 0; then they stay.",
        Field("data", 0, 32, "Eight weights, a threshold or a parameter word."),
        volatile=True,
        needs="weights",
    )


def _counters() -> Iterator[Register]:
    """The performance counters."""
    for name, doc in _COUNTERS.items():
        yield _made(
            f"COUNTER_{name}",
            Access.READ,
            doc,
            Field("count", 0, 32, "Modulo 2^counter_bits; exact while STATUS.busy is 0."),
            volatile=True,
        )


def _table() -> tuple[Register, ...]:
    constants = [
        Register(name, 4 * index, Access.READ, doc, fields, constant=True)
        for index, (name, doc, fields) in enumerate(_constants())
    ]
    first = 4 * len(constants)
    others = [
        Register(**{**vars(entry), "offset": first + 4 * index})
        for index, entry in enumerate(_others())
    ]
    return (*constants, *others)


REGISTERS = _table()
"""All registers in the order of their offsets, which have no gap."""

CONSTANTS = tuple(entry for entry in REGISTERS if entry.constant)
"""The first registers: 32 words that identify the hardware."""

COUNTER_REGISTERS = tuple(f"COUNTER_{name}" for name in _COUNTERS)
"""In the order of `hw.core.counters.COUNTERS`."""

_BY_NAME = {entry.name: entry for entry in REGISTERS}


def register(name: str) -> Register:
    """The register of that name."""
    return _BY_NAME[name]


def element_bits(config: AcceleratorConfig) -> int:
    """Bits of a result element: a logit, or a class or score of the best-N list."""
    return 16 if config.acc_bits <= 16 else 32


def feature_words(config: AcceleratorConfig) -> int:
    """Words of a frame in FEATURES."""
    return -(-config.n_input // _FEATURES_PER_WORD)


def result_words(config: AcceleratorConfig, best: int = 0) -> int:
    """Words of a frame in RESULTS: its logits, or with `best` its list of so many entries."""
    return -(-(2 * best or config.n_output) * element_bits(config) // 32)


def constant_values(
    config: AcceleratorConfig,
    *,
    baked: bool,
    streams: bool,
    best: int,
    result_depth: int,
    build_hash: int,
) -> dict[str, int]:
    """The words of CONSTANTS, by name, for a build."""
    major, minor, patch = MAP_VERSION
    words = {
        "ID": {"magic": MAGIC},
        "VERSION": {"major": major, "minor": minor, "patch": patch},
        "BUILD_HASH": {"hash": build_hash},
        "BUILD": {"baked": baked, "streams": streams, "best": best, "result_depth": result_depth},
        "OPTIONS": {
            "layers": config.n_layers,
            "time_steps": config.time_steps,
            "merge_readout": config.merge_readout,
            "trace": config.trace,
            **{name: words.index(getattr(config, name)) for name, words in CHOICES.items()},
            "low_activity": config.low_activity,
        },
        "FEATURE_FORMAT": {"frame_words": feature_words(config)},
        "RESULT_FORMAT": {
            "element_bits": element_bits(config),
            "best_words": result_words(config, best) if best else 0,
            "logits_words": result_words(config) & 0xFFFF,
        },
    }
    for name in ("FRAME", "OUTPUTS", "MACHINE", "FORMATS", "SHIFTS"):
        words[name] = {field.name: getattr(config, field.name) for field in register(name).fields}
    for name, digest in (
        ("CONFIG_HASH", config.config_hash),
        ("NETWORK_HASH", config.network_hash),
    ):
        words[f"{name}_0"] = {"hash": int(digest[:8], 16)}
        words[f"{name}_1"] = {"hash": int(digest[8:], 16)}
    for layer, (neurons, recurrent) in enumerate(zip(config.hidden, config.recurrent, strict=True)):
        bias = config.has_bias(layer)
        words[f"HIDDEN_{layer}"] = {"neurons": neurons, "bias": bias, "recurrent": recurrent}
    return {
        entry.name: entry.pack(**{k: int(v) for k, v in words.get(entry.name, {}).items()})
        for entry in CONSTANTS
    }


def config_of_constants(words: Mapping[str, int]) -> AcceleratorConfig:
    """The configuration that the words of CONSTANTS tell, by name.

    Raises
    ------
    ConfigError
        They tell none.
    """
    values: dict[str, object] = {}
    for name in ("FRAME", "OUTPUTS", "MACHINE", "FORMATS", "SHIFTS"):
        values |= register(name).unpack(words[name])
    options = register("OPTIONS").unpack(words["OPTIONS"])
    layers = [
        register(f"HIDDEN_{layer}").unpack(words[f"HIDDEN_{layer}"])
        for layer in range(min(options["layers"], _MAX_LAYERS))
    ]
    for name, words_of in CHOICES.items():
        number = options[name]
        values[name] = dict(enumerate(words_of)).get(number, number)
    values |= {
        "hidden": [layer["neurons"] for layer in layers],
        "recurrent": [bool(layer["recurrent"]) for layer in layers],
        "bias": [bool(layer["bias"]) for layer in layers],
        "time_steps": options["time_steps"],
        "merge_readout": bool(options["merge_readout"]),
        "trace": bool(options["trace"]),
        "low_activity": bool(options["low_activity"]),
    }
    return AcceleratorConfig.from_dict(values)
