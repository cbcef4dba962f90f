# SPDX-License-Identifier: Apache-2.0
"""Proves everything, and prints the table of docs/verification.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cocotb_tests.formal.theorems import THEOREMS, prove_broken, prove_theorem


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cocotb_tests.formal",
        description="Prove properties of the design for all inputs, and refute broken designs.",
        epilog="Exit status 0 if everything is proved and every broken design refuted.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="leave out the slow ones, as `make test` does"
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="theorems whose name holds TEXT")
    parser.add_argument(
        "--broken", action="store_true", help="also refute the broken designs, and show how"
    )
    given = parser.parse_args(arguments)
    failed = 0
    print("| design | holds for all inputs and states | claims | how | seconds | broken designs |")
    print("|---|---|---|---|---|---|")
    refutations = []
    for name, theorem in THEOREMS.items():
        if given.only not in name or (given.quick and theorem.slow):
            continue
        proof = prove_theorem(name)
        missing = [cover for cover, clock in proof.reached.items() if clock is None]
        failed += not proof.proved or bool(missing)
        refuted = 0
        for mutant in theorem.mutants if given.broken else ():
            refutation = prove_broken(name, mutant)
            refuted += not refutation.proved
            refutations.append((name, mutant.name, refutation))
        failed += given.broken and refuted != len(theorem.mutants)
        counted = (
            f"{refuted} of {len(theorem.mutants)} refuted" if given.broken else len(theorem.mutants)
        )
        how = proof.how if proof.proved else "**refuted**"
        print(
            f"| {name} | {theorem.says} | {proof.claims} | {how} | {proof.seconds:.1f} | "
            f"{counted if theorem.mutants else ''} |",
            flush=True,
        )
        if missing:
            print(f"never reached: {', '.join(missing)}")
        if not proof.proved:
            print(proof.trace)
    for name, mutant_name, refutation in refutations:
        print(f"\n{name}, broken ({mutant_name}): {refutation.how}\n{refutation.trace}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_main())
