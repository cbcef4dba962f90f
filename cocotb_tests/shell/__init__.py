# SPDX-License-Identifier: Apache-2.0
"""Benches of registers, AXI and the C driver."""
