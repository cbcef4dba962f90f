# SPDX-License-Identifier: Apache-2.0
"""Verilog text of the core."""

from __future__ import annotations

from amaranth.back import verilog

from .core import Core

__all__ = ["TOP", "to_verilog"]

TOP = "plosive"


def to_verilog(core: Core) -> str:
    """Synthesizable Verilog of a core; the top module is `plosive`.

    The same core gives the same bytes on every run: no source paths, no dates.
    """
    return verilog.convert(core, name=TOP, emit_src=False, strip_internal_attrs=True)
