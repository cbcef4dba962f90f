# SPDX-License-Identifier: Apache-2.0
"""Tests of what a stranger meets first: documents, the package `plosive`, the wheel, the site."""
