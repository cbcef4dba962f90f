# SPDX-License-Identifier: Apache-2.0
"""`plosive evaluate`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say
from flows.cli.options import ZOO_BUILD, Broken, BrokenOption, Json, NetworkFile, ZooBuild, decibels

if TYPE_CHECKING:
    from flows.speech.figures import Evaluation

__all__ = ["Format", "Split", "evaluate", "evaluation_table"]


class Format(StrEnum):
    """Layout of a folder of recordings."""

    timit = "timit"
    folder = "folder"
    prompts = "prompts"
    kaldi = "kaldi"
    librispeech = "librispeech"


class Split(StrEnum):
    """The part of a corpus."""

    train = "train"
    dev = "dev"
    test = "test"
    all = "all"


def evaluate(
    network: NetworkFile = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of the recordings or, with --corpus, of the data sets (default: "
            "PLOSIVE_DATA).",
        ),
    ] = None,
    layout: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Layout of DIR: timit for LDC93S1 or NLTK's sample, folder for WAV files with "
            "TextGrid, .lab or .phn, prompts for a prompts.tsv, kaldi for wav.scp, text, utt2spk, "
            "librispeech for its subsets.",
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus",
            metavar="NAME",
            help="Named data set: timit-sample, librispeech-test-other, bdl, slt, ...",
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option("--split", help="Which part of the corpus to use.")
    ] = Split.test,
    tier: Annotated[
        str | None,
        typer.Option(
            "--tier",
            metavar="NAME",
            help="Tier of the TextGrids that has the phones. Default: the one named phones.",
        ),
    ] = None,
    phone_map: Annotated[
        Path | None,
        typer.Option(
            "--phone-map",
            metavar="FILE",
            help="Translate the labels of DIR: a phone of theirs and one of TIMIT's on each line.",
        ),
    ] = None,
    snr: Annotated[
        float | None,
        typer.Option(
            "--snr",
            metavar="DB",
            parser=decibels,
            help="Add noise at this signal-to-noise ratio.",
        ),
    ] = None,
    noise: Annotated[
        str, typer.Option("--noise", metavar="CLASS|all", help="Class of noise to add.")
    ] = "all",
    noise_data: Annotated[
        Path | None,
        typer.Option(
            "--noise-data", metavar="DIR", help="Folder of noise clips, with one folder per class."
        ),
    ] = None,
    broken: BrokenOption = Broken.refuse,
    gain: Annotated[
        float | None,
        typer.Option(
            "--gain",
            metavar="DB",
            parser=decibels,
            help="Gain applied to all recordings. Default: match the level of the training data.",
        ),
    ] = None,
    as_json: Json = False,
    build: ZooBuild = ZOO_BUILD,
) -> None:
    """Score a network on recordings: phone error rate, sparsity, cycles, size.

    The default network is the shipped one. If the recordings have phone times, frames are scored
    too; prompts without times are scored against dictionary pronunciations. Noise comes from clips
    that were not used in training. `--split all` takes every recording and needs no split.

    **Examples**

    - `plosive evaluate --corpus timit-sample --split test`
    - `plosive evaluate --network mine.safetensors --data /corpora/TIMIT --format timit --json`
    - `plosive evaluate --network speech --corpus bdl --snr 10 --noise rain`
    - `plosive evaluate --data recordings --format folder --split all --broken skip`
    - `plosive evaluate --data aligned --format folder --tier "ann - phones" --phone-map ipa.map`
    """
    from flows.inputs import default_network
    from flows.speech import evaluate as flow

    figures = flow.evaluate(
        network if network is not None else default_network(),
        flow.Recordings(
            corpus=corpus,
            data=data,
            format=layout.value if layout is not None else None,
            split=split.value,
            snr=snr,
            noise=noise,
            noise_data=noise_data,
            broken=broken.value,
            gain=gain,
            tier=tier,
            phone_map=phone_map,
        ),
        build_dir=build,
        progress=sys.stderr.isatty(),
    )
    if as_json:
        print_json(figures.to_dict())
        return
    terminal.console().print(evaluation_table(figures))
    for note in figures.notes:
        say(f"note: {note}")


def evaluation_table(figures: "Evaluation") -> Table:
    """Scores of a network on recordings, and the work it takes."""
    scores = figures.scores
    noise = f", {figures.noise} noise at {figures.snr_db:g} dB" if figures.noise else ""
    table = terminal.table(f"{figures.corpus}, {figures.split}{noise}", "what", "figure")
    table.add_row("recordings, speakers", f"{scores.utterances:,}, {figures.speakers}")
    table.add_row("speech", f"{figures.seconds:,.1f} s")
    table.add_row("gain", f"{figures.gain_db:+.1f} dB")
    table.add_section()
    table.add_row("phone error rate, 39 phones", terminal.percent(scores.per))
    table.add_row("phone error rate, silence excluded", terminal.percent(scores.per_no_silence))
    accuracies = map(terminal.percent, (scores.frame_accuracy, scores.phone_accuracy))
    table.add_row("frame accuracy, states; 39 phones", "; ".join(accuracies))
    table.add_section()
    for layer, zeros in enumerate(scores.sparsity):
        table.add_row(
            f"zero spikes of layer {layer}, by time step", ", ".join(map(terminal.percent, zeros))
        )
        if len(zeros) > 1:
            both = (scores.union_density[layer], scores.intersection_density[layer])
            table.add_row(
                f"spikes of layer {layer} in any, in all time steps",
                ", ".join(map(terminal.percent, both)),
            )
    table.add_row("zero bits of the features", terminal.percent(scores.input_zero_bits))
    table.add_row("cycles per frame", terminal.number(figures.cycles_per_frame))
    table.add_row("accumulations", f"{figures.mmac_per_s:.2f} MMAC/s")
    table.add_row("accumulations, nothing skipped", f"{figures.mmac_per_s_dense:.2f} MMAC/s")
    table.add_row("nonzero weights", f"{figures.mb:.3f} MB")
    table.add_row("weight memories", f"{figures.mb_memory:.3f} MB")
    table.add_section()
    table.add_row("speed", f"{figures.times_real_time:,.0f} times real time")
    return table
