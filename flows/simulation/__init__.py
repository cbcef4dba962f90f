# SPDX-License-Identifier: Apache-2.0
"""The Verilog in Verilator against the golden model, clock by clock, and the cycle laws."""
