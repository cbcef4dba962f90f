# SPDX-License-Identifier: Apache-2.0
"""Benches of the serial line, its bridge and its protocol, with faults."""
