# SPDX-License-Identifier: Apache-2.0
"""Model cards: what a network is, from the header of its file alone.

`python -m model_zoo.cards` writes the card of each shipped network beside its file.
"""

from collections.abc import Sequence
from typing import Any

from golden_model import Network
from golden_model.files.escape import markdown, markdown_code
from golden_model.files.header import provenance as origin
from golden_model.files.writing import atomic_write
from hw.config import AcceleratorConfig
from model_zoo import zoo
from model_zoo.scoring import costs

__all__ = ["card", "main", "summary"]

_USE = (
    "Phones of English read speech, 16 kHz and near the microphone, on the machine that "
    "`plosive generate` makes, and as a real network for benches and estimates. Not a product: no "
    "words, no other languages, no claim about voices unlike those it heard."
)
_LIMITS = "Figures of a few speakers say little about others. "
_FIXED_LEVEL = (
    "Normalisation is fixed, so the level of a "
    "recording matters: `gain_db` is what brought each corpus to the network's level; "
    "`plosive transcribe` says how far a recording is from it, and takes `--gain`."
)
_ANY_LEVEL = (
    "An automatic gain, whose constants are in the file, brings recordings of any level to the "
    "network's; its first second may be off where a recording begins in the middle of a word."
)


def summary(name: str, network: Network) -> dict[str, Any]:
    """A network in a few figures, JSON-able.

    Parameters
    ----------
    name
        The network's, as a user knows it.
    network
        Its header is read.

    Returns
    -------
    dict
        `name`, `description`, `licence`, `trained_on`, `time_steps`, `hidden`, `outputs`, `mb`,
        `per` (of the header's test part; None where it has none), `network_hash`.
    """
    header, config = network.header, network.config
    provenance = origin(header)
    return {
        "name": name,
        "description": provenance.get("description", ""),
        "licence": header.get("licence", "not said"),
        "trained_on": sorted(provenance.get("data", {})),
        "time_steps": config.time_steps,
        "hidden": list(config.hidden),
        "outputs": config.n_output,
        "mb": round(costs.file_megabytes(network), 4),
        "per": header.get("scores", {}).get("test", {}).get("per"),
        "network_hash": config.network_hash,
    }


def card(name: str, network: Network) -> str:
    """The model card of a network, Markdown; texts of the header are shown, never followed.

    Parameters
    ----------
    name
        The network's, as a user knows it.
    network
        Its header is read.
    """
    facts, header = summary(name, network), network.header
    provenance = origin(header)
    hidden = " + ".join(map(str, facts["hidden"]))
    lines = [
        f"# {markdown(name)}",
        "",
        f"{markdown(facts['description']) or 'No description in the header'}.",
        "",
        "## Intended use",
        "",
        _USE,
        "",
        "## The network",
        "",
        "| | |",
        "|---|---|",
        f"| licence | {markdown(facts['licence'])} |",
        f"| inputs, layers, outputs | {network.config.n_input}, {hidden}, {facts['outputs']} |",
        f"| time steps a frame | {facts['time_steps']} |",
        f"| numbers | {_formats(network.config)} |",
        f"| weights that are not zero | {1000 * facts['mb']:.1f} kB |",
        f"| label delay | {header.get('label_delay', 0)} frames |",
        f"| network hash | `{facts['network_hash']}` |",
        f"| made by | {_made_by(provenance)} |",
        f"| with | {_tools(provenance)} |",
    ]
    lines += _data(provenance.get("data", {}), provenance.get("gain_db", {}))
    lines += _scores(header.get("scores", {}), provenance)
    lines += _stages(provenance.get("stages", []))
    automatic = "automatic_gain" in header.get("features", {})
    level = _ANY_LEVEL if automatic else _FIXED_LEVEL
    lines += ["", "## Limits", "", _LIMITS + level, ""]
    return "\n".join(lines)


def _formats(config: AcceleratorConfig) -> str:
    whole = config.membrane_bits - config.membrane_frac
    return (
        f"features int{config.input_bits}, weights int{config.weight_bits}, sums of "
        f"{config.acc_bits} bits, membranes {whole}.{config.membrane_frac}"
    )


def _made_by(provenance: dict[str, Any]) -> str:
    command = markdown_code(provenance.get("command", "not said"))
    return f"{command}, {markdown(provenance.get('date', ''))}"


def _tools(provenance: dict[str, Any]) -> str:
    tools = [markdown(f"{name} {version}") for name, version in provenance.get("tools", {}).items()]
    return ", ".join([*tools, f"{provenance.get('threads', '?')} thread(s)"])


def _data(corpora: dict[str, dict[str, Any]], gains: dict[str, float]) -> list[str]:
    if not corpora:
        return []
    columns = ("source", "sentences", "speakers", "hours", "gain_db", "licence")
    rows = []
    for name, corpus in sorted(corpora.items()):
        entry = {**corpus, "gain_db": gains.get(name, "")}
        cells = [markdown(name), *(markdown(entry.get(key, "")) for key in columns)]
        rows.append(f"| {' | '.join(cells)} |")
    head = f"| corpus | {' | '.join(columns)} |"
    return ["", "## Trained on", "", head, "|---|---|---|---|---|---|---|", *rows]


def _percent(values: Sequence[float | None]) -> str:
    return ", ".join("-" if v is None else f"{100 * v:.1f} %" for v in values)


def _scores(parts: dict[str, dict[str, Any]], provenance: dict[str, Any]) -> list[str]:
    lines = []
    for name in ("dev", "test"):
        if name not in parts:
            continue
        found = parts[name]
        on = provenance.get("tested_on" if name == "test" else "tuned_on", [])
        lines += [
            "",
            f"## Scores, {name} part of {markdown(', '.join(on)) or 'its corpora'}",
            "",
            "| | |",
            "|---|---|",
            f"| sentences, frames | {found.get('utterances', '?')}, {found.get('frames', '?')} |",
            f"| phone error rate | {_percent([found.get('per')])} |",
            f"| phone error rate, silence left out | {_percent([found.get('per_no_silence')])} |",
        ]
        if found.get("frame_accuracy") is not None:
            lines.append(f"| frames right | {_percent([found['frame_accuracy']])} |")
        unions = found.get("union_density", [])
        for layer, (zeros, union) in enumerate(
            zip(found.get("sparsity", []), unions, strict=False)
        ):
            lines.append(
                f"| zero spikes of layer {layer} by time step; union density | "
                f"{_percent(zeros)}; {_percent([union])} |"
            )
        lines.append(f"| zero bits of the features | {_percent([found.get('input_zero_bits')])} |")
    return lines


def _stages(stages: Sequence[dict[str, Any]]) -> list[str]:
    if not stages:
        return []
    rows = [
        f"| {markdown(s.get('name', ''))} | {s.get('loss', '?')} | "
        + " | ".join(_percent([s.get(part, {}).get("per")]) for part in ("dev", "test"))
        + " |"
        for s in stages
    ]
    head = ["| stage | loss | dev PER | test PER |", "|---|---|---|---|"]
    return ["", "## Stages", "", *head, *rows]


def main() -> None:
    """Write the card of each shipped network beside its file."""
    for name in zoo.names():
        path = zoo.path(name).with_suffix(".md")
        atomic_write(path, card(name, Network.load(zoo.path(name))).encode())


if __name__ == "__main__":
    main()
