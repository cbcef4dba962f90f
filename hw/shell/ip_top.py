# SPDX-License-Identifier: Apache-2.0
"""The accelerator as an IP block: AXI4-Lite control, AXI4-Stream features and results."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.config import AcceleratorConfig
from hw.core.core import Contents, Core
from hw.core.memory import MemoryInstance
from hw.shell.axi import AxiLite, AxiLiteSubordinate, ResultOutput
from hw.shell.results import result_beat
from hw.shell.shell import Shell

__all__ = ["AXI_TOP", "IPTop"]

AXI_TOP = "plosive_axi"
"""Name of the Verilog module."""

_CONTROL = "s_axi_ctrl"


class IPTop(wiring.Component):
    """The shell behind AXI; ports are named so that IP integrators infer the interfaces.

    Parameters
    ----------
    config, contents, bake, best, result_depth
        Passed on to the `Shell`.

    Attributes
    ----------
    shell, core
        The shell, and the core inside it.
    memory_instances
        The core's memories.
    s_axi_ctrl_*
        AXI4-Lite, 32 bits.
    s_axis_features_*
        In, one int8 a beat; tlast: a frame's last; tuser of that beat: bit 0 the frame begins an
        utterance, bit 1 it ends one.
    m_axis_logits_*
        Out, result elements, lowest first; tlast: a frame's last; tuser: bit 0 the frame is an
        utterance's last, bit 1 a soft reset cut it off.
    irq
        Out, an enabled state holds.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        contents: Contents | None = None,
        *,
        bake: bool = False,
        best: int = 0,
        result_depth: int = 16,
    ) -> None:
        self.config = config
        self.shell = Shell(config, contents, bake=bake, best=best, result_depth=result_depth)
        # The subordinate sees the signature flipped.
        control = {
            f"{_CONTROL}_{name}": member for name, member in AxiLite().flip().members.items()
        }
        super().__init__(
            {
                **control,
                "s_axis_features_tdata": In(config.input_bits),
                "s_axis_features_tvalid": In(1),
                "s_axis_features_tready": Out(1),
                "s_axis_features_tlast": In(1),
                "s_axis_features_tuser": In(2),
                "m_axis_logits_tdata": Out(result_beat(config)["elements"].width),
                "m_axis_logits_tvalid": Out(1),
                "m_axis_logits_tready": In(1),
                "m_axis_logits_tlast": Out(1),
                "m_axis_logits_tuser": Out(2),
                "irq": Out(1),
            }
        )

    @property
    def core(self) -> Core:
        return self.shell.core

    @property
    def memory_instances(self) -> list[MemoryInstance]:
        return self.shell.memory_instances

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.shell = shell = self.shell
        m.submodules.control = control = AxiLiteSubordinate()
        m.submodules.output = output = ResultOutput(self.config)
        connect(m, control.bus, shell.bus)
        connect(m, shell.results, output.beats)
        for name, member in AxiLite().members.items():
            inside, outside = getattr(control.axi, name), getattr(self, f"{_CONTROL}_{name}")
            m.d.comb += inside.eq(outside) if member.flow is Out else outside.eq(inside)
        feature = shell.features.payload
        m.d.comb += [
            shell.features.valid.eq(self.s_axis_features_tvalid),
            self.s_axis_features_tready.eq(shell.features.ready),
            feature.value.eq(self.s_axis_features_tdata),
            feature.last.eq(self.s_axis_features_tlast),
            feature.start.eq(self.s_axis_features_tuser[0]),
            feature.end.eq(self.s_axis_features_tuser[1]),
            output.abort.eq(shell.soft_reset),
            output.ready.eq(self.m_axis_logits_tready),
            self.m_axis_logits_tvalid.eq(output.valid),
            self.m_axis_logits_tdata.eq(output.elements),
            self.m_axis_logits_tlast.eq(output.last),
            self.m_axis_logits_tuser[0].eq(output.end),
            self.m_axis_logits_tuser[1].eq(output.aborted),
            self.irq.eq(shell.irq),
        ]
        return m
