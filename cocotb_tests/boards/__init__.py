# SPDX-License-Identifier: Apache-2.0
"""Boards in simulation, and their bitstreams."""
