# SPDX-License-Identifier: Apache-2.0
"""The accelerator on FPGA boards: memories, synthesis, place and route, bitstreams."""
