# SPDX-License-Identifier: Apache-2.0
"""A memory of another make against `RowMemory`, in Icarus Verilog: the same random traffic."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cocotb_tests.plain_bench import icarus_or_skip
from flows.verilog.writer import component_verilog
from hw.core.memory import RowMemory
from hw.schedule import MemoryShape

__all__ = ["wrong_words"]

_CYCLES = 6000
# Nothing is compared before the first read, nor, if a write leaves the output undefined, between a
# write and the next read.
_BENCH = """
module bench;
  reg clk = 0, read = 0, compared = 0;
  reg [{row}:0] row = 0;
  reg [{words}:0] write = 0;
  reg [{bits}:0] write_data = 0;
  wire [{bits}:0] ours, theirs;
  ours first (.clk(clk), .rst(1'b0), .row(row), .read(read), .write(write),
    .write_data(write_data), .data(ours));
  {name} second (.clk(clk), .rst(1'b0), .row(row), .read(read), .write(write),
    .write_data(write_data), .data(theirs));
  integer i, j, wrong = 0, seen = 0, seed = {seed};
  initial begin
    for (i = 0; i < {rows} + {cycles}; i = i + 1) begin
      row = $urandom(seed) % {rows};
      for (j = 0; j < {bits} + 1; j = j + 1) write_data[j] = $urandom(seed);
      read = $urandom(seed);
      write = 0;
      if (!read) for (j = 0; j < {words} + 1; j = j + 1) write[j] = $urandom(seed);
      if (i < {rows}) begin row = i; read = !{fill}; write = {fill} ? ~0 : 0; end
      #5 clk = 1;
      #1 if (read) compared = 1;
      if ({undefined} && write) compared = 0;
      if (compared) seen = seen + 1;
      if (compared && ours !== theirs) wrong = wrong + 1;
      #4 clk = 0;
    end
    $display("%0d wrong of %0d", wrong, seen);
    $finish;
  end
endmodule
"""


def wrong_words(
    shape: MemoryShape,
    sources: Sequence[str | Path],
    seed: int,
    folder: Path,
    *,
    rows: Sequence[int] | None = None,
    write_undefines: bool = False,
) -> int:
    """Cycles in which a memory's output differs from that of `RowMemory`.

    Parameters
    ----------
    shape
        Shape of the memory; its name is the module's.
    sources
        Verilog of the memory and of what it is made of, as texts and files.
    seed
        Seed of the random traffic.
    folder
        Folder for the bench's files.
    rows
        Initial contents, if it has any, which are read first; otherwise all rows are written first.
    write_undefines
        After a write the memory's output means nothing until the next read.
    """
    compiler = icarus_or_skip()
    ours = RowMemory(shape, init=rows)
    bench = _BENCH.format(
        name=shape.name,
        row=shape.row_width - 1,
        words=shape.words - 1,
        bits=shape.bits - 1,
        rows=shape.rows,
        fill=int(rows is None),
        undefined=int(write_undefines),
        cycles=_CYCLES,
        seed=seed,
    )
    texts = [component_verilog(ours, "ours"), bench, *(s for s in sources if isinstance(s, str))]
    source, program = folder / "bench.v", folder / "bench"
    source.write_text("\n".join(texts))
    files = [source, *(s for s in sources if isinstance(s, Path))]
    command = [compiler, "-g2005-sv", "-s", "bench", "-o", program, *files]
    subprocess.run(command, check=True, capture_output=True)
    command = [compiler.with_name("vvp"), "-n", program]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    wrong, _, _, seen = output.stdout.split()
    assert int(seen) > _CYCLES / 4
    return int(wrong)
