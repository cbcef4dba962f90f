# SPDX-License-Identifier: Apache-2.0
"""What becomes of decays: one neuron under constant drives, in real numbers and converted.

`python -m model_zoo.exchange.beta_sweep` prints the table of docs/bring-your-own-network.md.
"""

import numpy as np

from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.quantise import RealLayer, quantise

__all__ = ["ABOVE", "BETAS", "Sweep", "sweep"]

ABOVE = (1.1, 1.5, 3.0)
"""Drives, over the one that just reaches the threshold."""

BETAS = (*np.round(np.arange(0.5, 0.9501, 0.05), 2), 0.9375, 0.97, 0.984375, 0.99, 0.9921875, 0.999)
"""What is printed."""

_LEAST_STEPS, _TIME_CONSTANTS = 2000, 100


class Sweep:
    """One decay under one drive.

    Parameters
    ----------
    beta : float
    above : float
        The drive, over the one that just reaches the threshold.

    Attributes
    ----------
    time_steps : int
    spikes : int
        Spikes in real numbers.
    refused : str or None
        Why the conversion is refused.
    nearest : float
        The decay that `nearest` takes.
    hardware : int
        Spikes of the conversion, with `nearest` where it is refused.
    """

    def __init__(self, beta, above):
        self.beta, self.above = beta, above
        drive = above * (1 - beta)
        self.time_steps = max(_LEAST_STEPS, int(_TIME_CONSTANTS / (1 - beta)))
        v, self.spikes = 0.0, 0
        for _ in range(self.time_steps):
            v = beta * v + drive
            if v > 1:
                v, self.spikes = 0.0, self.spikes + 1
        layer = RealLayer("it", np.array([[drive]]), None, np.ones(1), beta)
        try:
            network = quantise([layer], None)
            self.refused = None
        except ConversionError as error:
            network = quantise([layer], None, nearest=True)
            self.refused = str(error)
        self.nearest = network.header["conversion"]["layers"][0]["beta_taken"]
        features = np.ones((self.time_steps, 1), np.int8)
        self.hardware = int(network.run(features).spikes[0].sum())


def sweep(betas=BETAS):
    """`Sweep` of each beta under each drive of `ABOVE`."""
    return [[Sweep(float(beta), above) for above in ABOVE] for beta in betas]


def main():
    """Print the table."""
    drives = " | ".join(f"drive {above:g}: real, hardware" for above in ABOVE)
    print(f"| beta | time constant | conversion | {drives} |")
    print("|---|---|---|" + "---|" * len(ABOVE))
    for row in sweep(sorted(BETAS)):
        one = row[0]
        if one.refused is None:
            taken = "as it is" if one.nearest == one.beta else f"as {one.nearest:.7g}"
        else:
            taken = f"refused; `--nearest` takes {one.nearest:.7g}"
        counts = " | ".join(f"{each.spikes:,}, {each.hardware:,}" for each in row)
        print(f"| {one.beta:.7g} | {1 / (1 - one.beta):.4g} | {taken} | {counts} |")


if __name__ == "__main__":
    main()
