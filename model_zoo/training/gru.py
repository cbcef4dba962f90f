# SPDX-License-Identifier: Apache-2.0
"""The yardstick: a gated recurrent network of the same width, with real numbers throughout.

It tells how much of an error rate is the spiking network's and how much the data's. No hardware
of ours runs it.
"""

import torch
from torch import nn

from hw.config import AcceleratorConfig

__all__ = ["GatedNetwork"]

FEATURE_STEPS = 20.0
"""int8 steps that become 1: about the spread of a coefficient."""


class GatedNetwork(nn.Module):
    """Gated recurrent units (torch's `GRU`) and a linear readout.

    Parameters
    ----------
    config
        Inputs, widths and outputs; all layers must have the same width.
    dropout
        Between layers and before the readout, while training.
    """

    def __init__(self, config: AcceleratorConfig, dropout: float = 0.0) -> None:
        super().__init__()
        width = config.hidden[0]
        if set(config.hidden) != {width}:
            raise ValueError(f"hidden is {config.hidden!r}: layers of a GRU must be equally wide")
        self.config = config
        self.precision = None
        self.units = nn.GRU(config.n_input, width, len(config.hidden), batch_first=True)
        self.readout = nn.Linear(width, config.n_output)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, features: torch.Tensor, readout_every: int | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Logits `[batch, readouts, n_output]` of features `[batch, frames, n_input]`; no spikes.

        The two empty lists stand where `SpikingNetwork` gives spikes and membranes.
        """
        hidden, _ = self.units(features / FEATURE_STEPS)
        every = readout_every or self.config.readout_every
        return self.readout(self.dropout(hidden[:, ::every])), [], []

    def logit_scale(self) -> torch.Tensor:
        """Natural log units per unit of a logit."""
        return torch.ones(())

    def project_(self) -> None:
        """Nothing: no accumulator bounds these sums."""
