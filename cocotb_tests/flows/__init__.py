# SPDX-License-Identifier: Apache-2.0
"""Tests of the command line, its flows and the report."""
