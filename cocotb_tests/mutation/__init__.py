# SPDX-License-Identifier: Apache-2.0
"""Broken designs, by hand and by yosys, that the benches must catch."""
