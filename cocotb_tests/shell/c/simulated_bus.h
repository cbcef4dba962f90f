/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of the simulated AXI top, reached by pipes to axi_server.cpp: C99, so that a
 * program has nothing of the simulation in it but this. */
#ifndef SIMULATED_BUS_H
#define SIMULATED_BUS_H

#include "plosive.h"

/* Standard input and output are the pipes. An access that the hardware refuses ends the program, as
 * a bus error would. */
plosive_bus simulated_bus(void);

/* Level of the irq output after the last access. */
bool simulated_irq(void);

#endif
