# SPDX-License-Identifier: Apache-2.0
"""Cross-validated studies behind docs/results.md, and their plots."""
