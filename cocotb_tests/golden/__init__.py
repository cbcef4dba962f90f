# SPDX-License-Identifier: Apache-2.0
"""Tests of the configuration, the schedule, the golden model and the laws."""
