# SPDX-License-Identifier: Apache-2.0
"""A core's memories for FPGAs: as synthesis finds them, and the large RAMs of the iCE40 UP5K.

The UP5K has four single-port RAMs of 16 K words of 16 bits (SB_SPRAM256KA) beside its 30 small
block RAMs. They cannot be initialised: their contents after power-up are unknown, and a host loads
them. They hold their output while they are not addressed, as a memory of the core must, but a
write leaves it undefined; the core reads anew after every write.
"""

from collections.abc import Iterable, Sequence

from flows.verilog.memory_module import memory_header
from hw.errors import PlosiveError
from hw.schedule import MemoryShape

__all__ = [
    "SPRAM_BITS",
    "SPRAM_WORDS",
    "block_ram_count",
    "choose_sprams",
    "inferred_memory",
    "spram_count",
    "spram_wrapper",
]

SPRAM_WORDS = 16384
SPRAM_BITS = 16
_BLOCK_BITS = 4096
_NIBBLE = 4  # bits that one of its write masks covers


def spram_count(memory: MemoryShape) -> int:
    """How many SPRAMs a memory takes."""
    return -(-memory.bits // SPRAM_BITS) * -(-memory.rows // SPRAM_WORDS)


def block_ram_count(memory: MemoryShape) -> int:
    """How many of the iCE40's block RAMs a memory takes: 4096 bits, 2 to 16 wide."""
    widths = [
        min(memory.word_bits, memory.bits - low) for low in range(0, memory.bits, memory.word_bits)
    ]
    return sum(
        min(-(-bits // width) * -(-memory.rows * width // _BLOCK_BITS) for width in (2, 4, 8, 16))
        for bits in widths
    )


def choose_sprams(memories: Iterable[MemoryShape], sprams: int, blocks: int) -> list[MemoryShape]:
    """The memories that go into SPRAMs: the largest, until the others fit in the block RAMs.

    Only those whose write words are whole nibbles can.

    Parameters
    ----------
    memories
        The core's memories.
    sprams, blocks
        How many SPRAMs and block RAMs there are for them.
    """
    left = sorted(memories, key=lambda m: m.rows * m.bits, reverse=True)
    chosen = []
    for memory in tuple(left):
        if sum(map(block_ram_count, left)) <= blocks:
            break
        fits = spram_count(memory) <= sprams
        if fits and memory.writable and memory.word_bits % _NIBBLE == 0:
            chosen.append(memory)
            left.remove(memory)
            sprams -= spram_count(memory)
    return chosen


def inferred_memory(memory: MemoryShape, rows: Sequence[int] = ()) -> str:
    """Verilog of a memory's module that synthesis maps to block RAMs of any FPGA.

    One array for each write word, since not every tool knows write enables of other widths than
    bytes. A row is never read while it is written, and `no_rw_check` tells yosys so: it would
    otherwise build registers and multiplexers for what a read shows then.

    Parameters
    ----------
    memory
        Its shape.
    rows
        Initial contents; missing rows are 0.
    """
    lines = [*memory_header(memory), f"  output reg [{memory.bits - 1}:0] data;"]
    if len(rows) < memory.rows:
        lines.append("  integer i;")
    for word in range(memory.words):
        low = word * memory.word_bits
        high = min(memory.bits, low + memory.word_bits) - 1
        bits = high - low + 1
        name = f"word_{word}"
        lines += [
            "  (* no_rw_check *)",
            f"  reg [{bits - 1}:0] {name} [0:{memory.rows - 1}];",
            "  initial begin",
            *(
                f"    {name}[{row}] = {bits}'h{value >> low & (1 << bits) - 1:x};"
                for row, value in enumerate(rows)
            ),
        ]
        if len(rows) < memory.rows:
            lines.append(
                f"    for (i = {len(rows)}; i < {memory.rows}; i = i + 1) {name}[i] = {bits}'d0;"
            )
        lines += ["  end", "  always @(posedge clk) begin"]
        lines.append(f"    if (read) data[{high}:{low}] <= {name}[row];")
        if memory.writable:
            lines.append(f"    if (write[{word}]) {name}[row] <= write_data[{high}:{low}];")
        lines.append("  end")
    return "\n".join([*lines, "endmodule", ""])


def spram_wrapper(memory: MemoryShape) -> str:
    """Verilog of a memory's module, made of SPRAMs.

    Where the rows need several, one above the other, only the one addressed works, and a register
    keeps which was read last.

    Raises
    ------
    PlosiveError
        The memory is a ROM, or a write word is no whole number of nibbles.
    """
    if not memory.writable or memory.word_bits % _NIBBLE:
        raise PlosiveError(f"{memory.name}: SPRAMs are written by nibbles and hold no constants")
    lines = [
        *memory_header(memory),
        f"  output [{memory.bits - 1}:0] data;",
        "  wire access = read | (|write);",
    ]
    address_bits = (SPRAM_WORDS - 1).bit_length()
    address = f"row[{min(address_bits, memory.row_width) - 1}:0]"
    if memory.row_width < address_bits:
        address = f"{{{address_bits - memory.row_width}'d0, {address}}}"
    levels = -(-memory.rows // SPRAM_WORDS)
    level_bits = (levels - 1).bit_length()
    if level_bits:
        lines += [
            f"  wire [{level_bits - 1}:0] level = row[{memory.row_width - 1}:{address_bits}];",
            f"  reg [{level_bits - 1}:0] shown;",
            "  always @(posedge clk) if (read) shown <= level;",
        ]
    for low in range(0, memory.bits, SPRAM_BITS):
        lines += _column(memory, low, address, levels, level_bits)
    return "\n".join([*lines, "endmodule", ""])


def _column(memory: MemoryShape, low: int, address: str, levels: int, level_bits: int) -> list[str]:
    """Bits `low` and up of every row, in `levels` SPRAMs."""
    bits = min(SPRAM_BITS, memory.bits - low)
    spare = SPRAM_BITS - bits
    data = f"write_data[{low + bits - 1}:{low}]"
    if spare:
        data = f"{{{spare}'d0, {data}}}"
    # The write enable of each nibble, the highest first; what is past the row is never written.
    owners = [
        f"write[{bit // memory.word_bits}]" if bit < memory.bits else "1'b0"
        for bit in reversed(range(low, low + SPRAM_BITS, _NIBBLE))
    ]
    lines = []
    outputs = []
    for level in range(levels):
        name = f"bits_{low}_level_{level}"
        select = f" & (level == {level_bits}'d{level})" if level_bits else ""
        lines += [
            f"  wire [{SPRAM_BITS - 1}:0] {name}_output;",
            f"  SB_SPRAM256KA {name} (",
            f"    .ADDRESS({address}),",
            f"    .DATAIN({data}),",
            f"    .MASKWREN({{{', '.join(owners)}}}),",
            "    .WREN(|write),",
            f"    .CHIPSELECT(access{select}),",
            "    .CLOCK(clk),",
            "    .STANDBY(1'b0),",
            "    .SLEEP(1'b0),",
            "    .POWEROFF(1'b1),",  # active low
            f"    .DATAOUT({name}_output)",
            "  );",
        ]
        outputs.append(f"{name}_output[{bits - 1}:0]")
    chosen = outputs[-1]
    for level in range(levels - 2, -1, -1):
        chosen = f"shown == {level_bits}'d{level} ? {outputs[level]} : {chosen}"
    return [*lines, f"  assign data[{low + bits - 1}:{low}] = {chosen};"]
