# SPDX-License-Identifier: Apache-2.0
"""Decoding and scoring: phone error rate, sparsity, cost."""
