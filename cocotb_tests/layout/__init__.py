# SPDX-License-Identifier: Apache-2.0
"""Tests of the trial layout: LEF, places, lengths of wires, SPEF and DEF."""
