# SPDX-License-Identifier: Apache-2.0
"""Tests of data, features, training, scoring and exchange."""
