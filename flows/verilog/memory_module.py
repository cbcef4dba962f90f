# SPDX-License-Identifier: Apache-2.0
"""The Verilog module of a memory, where a flow writes one of its own."""

from hw.schedule import MemoryShape

__all__ = ["memory_header"]


def memory_header(memory: MemoryShape) -> list[str]:
    """The first lines of a memory's module: all of its ports but the output `data`.

    The output is declared by the caller, as a register or a wire.
    """
    names = ["clk", "rst", "row", "read", "data"]
    lines = ["  input clk, rst, read;", f"  input [{memory.row_width - 1}:0] row;"]
    if memory.writable:
        names += ["write", "write_data"]
        lines += [
            f"  input [{memory.words - 1}:0] write;",
            f"  input [{memory.bits - 1}:0] write_data;",
        ]
    return [f"module {memory.name} ({', '.join(names)});", *lines]
