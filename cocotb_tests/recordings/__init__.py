# SPDX-License-Identifier: Apache-2.0
"""Tests of recordings, labels and corpora as the world has them."""
