# SPDX-License-Identifier: Apache-2.0
"""The IP top inside a module that checks the handshake rules at every clock edge."""

from __future__ import annotations

from pathlib import Path

from amaranth.hdl import Value
from amaranth.lib.wiring import In

from flows.verilog.writer import to_verilog
from hw.schedule import Schedule
from hw.shell.ip_top import AXI_TOP, IPTop

__all__ = ["BENCH_ARGS", "BENCH_TOP", "bench_verilog"]

BENCH_TOP = "axi_bench"
BENCH_ARGS = ("--assert", "--output-split", "0", "-CFLAGS", "-O1")
_RULES = Path(__file__).with_name("axi_rules.sv")
_LITE = (
    *("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready"),
    *("bresp", "bvalid", "bready", "araddr", "arvalid", "arready"),
    *("rdata", "rresp", "rvalid", "rready"),
)


def bench_verilog(top: IPTop) -> str:
    """Verilog of the IP top, the rules, and `axi_bench` with the ports of the IP top.

    Its outputs count_* count the transfers on each side.
    """
    config, best = top.config, top.shell.best
    ports = [("input", "clk", 1), ("input", "rst", 1)]
    for (name,), member, value in top.signature.flatten(top):
        ports.append(("input" if member.flow is In else "output", name, len(Value.cast(value))))
    names = [name for _, name, _ in ports]
    width = {name: bits for _, name, bits in ports}
    counts = ("writes", "reads", "features", "logits")
    declared = [
        *(f"{direction} wire [{bits - 1}:0] {name}" for direction, name, bits in ports),
        *(f"output wire [31:0] count_{name}" for name in counts),
    ]
    schedule = Schedule(config)
    logit_beats = sum(schedule.group_beats(group) for group in range(schedule.groups))
    list_beats = -(-2 * best // config.output_lanes)

    def stream(name: str, signals: str, count: str) -> str:
        payload = ", ".join(f"{name}_{signal}" for signal in signals.split())
        bits = sum(width[f"{name}_{signal}"] for signal in signals.split())
        return (
            f"channel_rules #({bits}) rules_of_{count} (clk, rst, {name}_tvalid, {name}_tready, "
            f"{{{payload}}}, count_{count});"
        )

    logits = "m_axis_logits"
    body = [
        f"{AXI_TOP} dut ({', '.join(f'.{name}({name})' for name in names)});",
        f"lite_rules lite (clk, rst, {', '.join(f's_axi_ctrl_{name}' for name in _LITE)}, "
        "count_writes, count_reads);",
        stream("s_axis_features", "tdata tlast tuser", "features"),
        stream(logits, "tdata tlast tuser", "logits"),
        f"frame_rules #({logit_beats}, {list_beats}) frames (clk, rst, {logits}_tvalid, "
        f"{logits}_tready, {logits}_tlast, {logits}_tuser);",
    ]
    text = [f"module {BENCH_TOP} (", ",\n".join(declared), ");", *body, "endmodule", ""]
    return "\n".join([to_verilog(top, AXI_TOP), _RULES.read_text(), *text])
