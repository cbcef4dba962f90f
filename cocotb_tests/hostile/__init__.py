# SPDX-License-Identifier: Apache-2.0
"""Hostile and careless input."""
