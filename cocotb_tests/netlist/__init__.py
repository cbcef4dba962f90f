# SPDX-License-Identifier: Apache-2.0
"""Tests of synthesis, area, timing, power and the gate level."""
