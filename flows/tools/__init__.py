# SPDX-License-Identifier: Apache-2.0
"""The programs that flows run: which there are, Verilator, yosys, OpenSTA."""
