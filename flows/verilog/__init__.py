# SPDX-License-Identifier: Apache-2.0
"""Verilog and what describes it: interface, memory contents, register map, test bench."""
