# SPDX-License-Identifier: Apache-2.0
"""A trial layout: cells and macros get places, and wires the lengths that follow. No routing."""
