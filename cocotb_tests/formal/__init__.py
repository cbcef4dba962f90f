# SPDX-License-Identifier: Apache-2.0
"""Proofs over all inputs and all reachable states, where simulation only samples."""
