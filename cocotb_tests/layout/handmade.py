# SPDX-License-Identifier: Apache-2.0
"""A netlist of four cells with a LEF of its own, small enough to measure with a ruler."""

import numpy as np

from flows.asic.gates import Gates, Instance
from flows.asic.layout.floorplan import Floorplan
from flows.asic.layout.lef import Site
from flows.asic.layout.nets import Circuit, circuit_of
from flows.asic.layout.placement import Placement

__all__ = ["LEF", "SITE", "circuit", "gates", "placement"]

SITE = Site("unit", 0.5, 4.0)

LEF = """
VERSION 5.7 ; # comments end with the line
BUSBITCHARS "[]" ;
UNITS
  DATABASE MICRONS 1000 ;
END UNITS
SITE unit
  CLASS CORE ;
  SIZE 0.5 BY 4 ;
END unit
LAYER poly
  TYPE MASTERSLICE ;
END poly
LAYER m2
  TYPE ROUTING ;
  DIRECTION VERTICAL ;
  WIDTH 0.25 ;
  RESISTANCE RPERSQ 0.1 ;
  CAPACITANCE CPERSQDIST 2E-05 ;
  EDGECAPACITANCE 4E-05 ;
END m2
Via via_1 DEFAULT
  LAYER m2 ;
    RECT 0 0 1 1 ;
END via_1
MACRO inv
  CLASS CORE ;
  ORIGIN 0 0 ;
  SIZE 1.5 BY 4 ;
  SITE unit ;
  PIN A
    DIRECTION INPUT ;
    PORT
      LAYER m2 ;
        RECT 0.2 0.9 0.4 1.1 ;
    END
  END A
  PIN Y
    DIRECTION OUTPUT ;
    PORT
      LAYER m2 ;
        RECT 1.1 0.5 1.3 0.7 ;
        RECT 1.1 0.5 1.3 2.5 ;
    END
  END Y
  PIN VDD
    USE POWER ;
    PORT
      LAYER m2 ;
        RECT 0 3.8 1.5 4.2 ;
    END
  END VDD
  OBS
    LAYER m2 ;
      RECT 0.6 1 0.8 3 ;
  END
END inv
MACRO sram
  CLASS BLOCK ;
  SIZE 40 BY 10 ;
  PIN A[0]
    DIRECTION INPUT ;
    PORT
      LAYER m2 ;
        RECT 9.5 0 10.5 1 ;
    END
  END A[0]
  PIN A[1]
    DIRECTION INPUT ;
    PORT
      LAYER m2 ;
        RECT 19.5 0 20.5 1 ;
    END
  END A[1]
END sram
END LIBRARY
"""


def gates() -> Gates:
    """Input a, net 0; then inv x, net 1, inv top/y, net 2, to the output and the macro."""
    return Gates(
        3,
        [
            Instance("x", "inv", "plosive", {"A": [0], "Y": [1]}),
            Instance("top/y[0]$_1_", "inv", "top", {"A": [1], "Y": [2]}),
            Instance("top/z", "inv", "top", {"A": [1]}),
            Instance("ram", "sram", "memory", {"A": [1, 2]}),
        ],
        {"a": [0]},
        {"q": [2]},
    )


def circuit(outlines: dict) -> Circuit:
    """Its nets."""
    return circuit_of(gates(), outlines, set(), set())


def placement(outlines: dict) -> Placement:
    """Two rows of 20 sites; y stands in the second, upside down; the macro to the right."""
    plan = Floorplan(
        width=60.0,
        height=12.0,
        site=SITE,
        left=2.0,
        bottom=1.0,
        sites=20,
        rows=2,
        macros={3: (20.0, 1.0)},
        ports=[(0.0, 6.0), (60.0, 2.0)],
    )
    return Placement(
        circuit(outlines),
        plan,
        np.array([2.0, 5.0, 10.5, 20.0]),
        np.array([1.0, 5.0, 1.0, 1.0]),
        np.array([False, True, False, False]),
        0.0,
    )
