# SPDX-License-Identifier: Apache-2.0
"""External programs: finding them, and running Verilator, yosys and OpenSTA."""
