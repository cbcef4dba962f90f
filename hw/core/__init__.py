# SPDX-License-Identifier: Apache-2.0
"""The accelerator core: sequencer and front ends, PE sets, neurons, memories, buffers, trace."""
