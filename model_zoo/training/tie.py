# SPDX-License-Identifier: Apache-2.0
"""Context-dependent outputs: the 183 states of the phones, each split by the phones beside it.

One binary decision tree per state asks about the phone before and the phone behind ("is it a
nasal?"). Trees grow together: the leaf whose best question raises the likelihood of the training
frames most is split next, until there are as many leaves as outputs are wanted. The likelihood is
that of one Gaussian with diagonal covariance per leaf, over cepstra with differences. Young, Odell
and Woodland, "Tree-based state tying for high accuracy acoustic modelling", HLT 1994.

Decoding needs only the leaves' names (`model_zoo.scoring.decode`), so trees are not in network
files.
"""

import heapq
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np

from model_zoo.speech import phones
from model_zoo.speech.align import cepstra

__all__ = ["CLASSES", "MIN_FRAMES", "TiedStates", "contexts"]

MIN_FRAMES = 40
"""Fewest training frames of a leaf: about as many as its Gaussian has means."""

VARIANCE_FLOOR = 0.02
"""Smallest variance, as a share of the coefficient's variance over all frames."""

_BATCH = 50_000
"""Frames whose cepstra are held at a time."""

_VOWELS = "aa ae ah ao aw ax ax-h axr ay eh er ey ih ix iy ow oy uh uw ux"
_STOPS = "b d g p t k dx q"
_CLOSURES = "bcl dcl gcl pcl tcl kcl"
CLASSES = {
    "affricate": "ch jh",
    "alveolar": "t d tcl dcl dx n nx en s z l el",
    "anterior": "p pcl b bcl m em f v th dh t tcl d dcl dx n nx en s z l el",
    "back vowel": "aa ah ao ow uh uw aw oy",
    "central vowel": "ah ax ax-h axr er ix ux",
    "closure": _CLOSURES,
    "consonant": f"{_STOPS} {_CLOSURES} ch jh s z sh zh f v th dh hh hv m n ng em en eng nx l r "
    "el w y",
    "coronal": "t tcl d dcl dx n nx en s z sh zh th dh ch jh l el r",
    "dental": "th dh",
    "diphthong": "aw ay ey ow oy",
    "ends front": "ay ey oy iy y",
    "ends round": "aw ow uw ux w",
    "fricative": "s z sh zh f v th dh hh hv",
    "front vowel": "ae eh ey ih ix iy",
    "glide": "w y hh hv",
    "glottal": "hh hv q",
    "high vowel": "ih ix iy uh uw ux",
    "labial": "p pcl b bcl m em f v w",
    "labiodental": "f v",
    "lateral": "l el",
    "liquid": "l el r er axr",
    "low vowel": "aa ae ao aw ay",
    "mid vowel": "ah ax ax-h axr eh er ey ow oy",
    "nasal": "m n ng em en eng nx",
    "obstruent": f"{_STOPS} {_CLOSURES} ch jh s z sh zh f v th dh",
    "palatal": "sh zh ch jh y",
    "rhotic": "r er axr",
    "round": "ao ow oy uh uw ux w",
    "schwa": "ax ax-h ix axr",
    "semivowel": "l el r w y",
    "sibilant": "s z sh zh ch jh",
    "silence": "h# pau epi",
    "sonorant": f"{_VOWELS} m n ng em en eng nx l r el w y",
    "sounds silent": f"h# pau epi {_CLOSURES} q",
    "stop": _STOPS,
    "stop with closure": f"{_STOPS} {_CLOSURES}",
    "syllabic": f"{_VOWELS} el em en eng",
    "tense vowel": "aa ao er ey iy ow uw ux ay aw oy",
    "lax vowel": "ae ah eh ih uh ax ax-h ix axr",
    "unvoiced fricative": "s sh f th hh",
    "unvoiced stop": "p t k pcl tcl kcl",
    "velar": "k kcl g gcl ng eng",
    "voiced closure": "bcl dcl gcl",
    "voiced fricative": "z zh v dh hv",
    "voiced obstruent": "b bcl d dcl dx g gcl jh z zh v dh hv",
    "voiced stop": "b d g bcl dcl gcl dx",
    "voiceless": "p pcl t tcl k kcl ch s sh f th hh q h# pau epi ax-h",
    "vowel": _VOWELS,
} | {f"{stop} with closure": f"{stop} {stop}cl" for stop in "pbtdkg"}
"""Phones that a question may ask for together; each phone by itself is asked for as well."""

_QUESTIONS = [(name, frozenset(members.split())) for name, members in CLASSES.items()] + [
    (phone, frozenset([phone])) for phone in phones.PHONES
]
_MEMBERS = {name: np.array([p in members for p in phones.PHONES]) for name, members in _QUESTIONS}
_SIDES = ("left", "right")
_N_PHONES = len(phones.PHONES)
_EDGE = phones.PHONES.index("h#")

Tree = tuple[str, str, "Tree", "Tree"] | None
"""None for a leaf, or side ("left" or "right"), class or phone, tree for yes, tree for no."""


class Recordings(Protocol):
    """Labelled recordings, as `materials.Material`."""

    @property
    def states(self) -> Sequence[np.ndarray]:
        """Numbers into `phones.LABELS` `[frames]`, by recording."""

    @property
    def log_mels(self) -> Sequence[np.ndarray]:
        """Log-mel energies `[frames, 40]`, by recording."""


def contexts(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The phones before and behind each frame's own.

    Parameters
    ----------
    states
        Numbers into `phones.LABELS` `[frames]`. A new phone begins where the phone changes and
        where the state goes back; it need not pass through all of its states.

    Returns
    -------
    tuple of numpy.ndarray
        Numbers into `phones.PHONES` `[frames]`, left and right; beyond both ends is `h#`.
    """
    states = np.asarray(states, np.int64)
    if not len(states):
        return states, states
    phone = states // phones.N_STATES
    new = (np.diff(phone) != 0) | (np.diff(states) < 0)
    segment = np.concatenate([[0], np.cumsum(new)])
    spoken = phone[np.concatenate([[0], np.flatnonzero(new) + 1])]
    padded = np.concatenate([[_EDGE], spoken, [_EDGE]])
    return padded[segment], padded[segment + 2]


class _Statistics:
    """Count, sum and sum of squares of the frames of each state in each context that occurs.

    Attributes
    ----------
    state
        State of each row, `[rows]`, in ascending order.
    sides
        The left and the right phone of each row.
    moments
        `[rows, 1 + 2 * 39]`.
    """

    def __init__(self, materials: Iterable[Recordings]) -> None:
        utterances = [
            (known, log_mel)
            for material in materials
            for known, log_mel in zip(material.states, material.log_mels, strict=True)
            if len(known)
        ]
        if not utterances:
            raise ValueError("there are no labelled frames; tied states need some to grow from")
        beside = [contexts(known) for known, _ in utterances]
        keys = [
            (known.astype(np.int64) * _N_PHONES + left) * _N_PHONES + right
            for (known, _), (left, right) in zip(utterances, beside, strict=True)
        ]
        distinct, row = np.unique(np.concatenate(keys), return_inverse=True)
        self.state = distinct // _N_PHONES**2
        self.sides = (distinct // _N_PHONES % _N_PHONES, distinct % _N_PHONES)
        self.moments = None
        waiting, first, end = [], 0, 0
        for known, log_mel in utterances:
            waiting.append(cepstra(log_mel))
            end += len(known)
            if end - first >= _BATCH or end == len(row):
                self._add(row[first:end], np.concatenate(waiting).astype(np.float64))
                waiting, first = [], end

    def _add(self, rows: np.ndarray, values: np.ndarray) -> None:
        if self.moments is None:
            self.moments = np.zeros((len(self.state), 1 + 2 * values.shape[1]))
        order = np.argsort(rows, kind="stable")
        starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
        values = values[order]
        parts = np.concatenate([np.ones((len(values), 1)), values, values**2], axis=1)
        self.moments[rows[order][starts]] += np.add.reduceat(parts, starts, axis=0)


def _log_likelihood(moments: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Log likelihood of frames under their own Gaussian, up to a constant per frame.

    `moments` is `[..., 1 + 2 * d]`; the variance is at least `floor` `[d]`.
    """
    count = np.maximum(moments[..., :1], 1)
    width = len(floor)
    mean = moments[..., 1 : 1 + width] / count
    variance = np.maximum(moments[..., 1 + width :] / count - mean**2, floor)
    # Frames that vary less than the floor do not reach the full -1/2 per coefficient; the same
    # for all leaves but for tiny ones, so left out.
    return -0.5 * moments[..., 0] * np.log(variance).sum(axis=-1)


class TiedStates:
    """Trees from a state in its context to a label.

    Parameters
    ----------
    trees
        One per state of `phones.LABELS`: None for a leaf, or (side, class or phone, tree for yes,
        tree for no), side being "left" or "right".

    Attributes
    ----------
    labels
        Names, in the order of the outputs: "aa.0.17" is leaf 17 of the tree of "aa.0"; a state
        that was not split keeps its name.
    """

    def __init__(self, trees: Iterable[Tree]) -> None:
        self._trees = tuple(trees)
        if len(self._trees) != len(phones.LABELS):
            raise ValueError(
                f"tied states have {len(self._trees)} trees; they must have {len(phones.LABELS)}, "
                "one per state"
            )
        labels = []
        for state, tree in zip(phones.LABELS, self._trees, strict=True):
            leaves = _count_leaves(tree)
            labels += [state] if leaves == 1 else [f"{state}.{leaf}" for leaf in range(leaves)]
        self.labels = tuple(labels)

    @classmethod
    def grow(
        cls, materials: Iterable[Recordings], n_labels: int, min_frames: int = MIN_FRAMES
    ) -> Self:
        """Grow trees on labelled recordings.

        Parameters
        ----------
        materials
            Things with `states`, numbers into `phones.LABELS` `[frames]` per recording, and
            `log_mels`, log-mel energies `[frames, 40]`: `materials.Material`.
        n_labels
            Leaves wanted. There are fewer where the data do not suffice.
        min_frames
            Fewest frames of a leaf.

        Raises
        ------
        ValueError
            Fewer labels than states, or no data.
        """
        if n_labels < len(phones.LABELS):
            raise ValueError(
                f"tied states {n_labels!r} are too few; there must be at least the "
                f"{len(phones.LABELS)} states of the phones"
            )
        return cls(_grow(_Statistics(materials), n_labels, min_frames))

    @cached_property
    def _table(self) -> np.ndarray:
        """Label numbers `[183, 61, 61]` of state, left and right phone."""
        table = np.empty((len(self._trees), _N_PHONES, _N_PHONES), np.int16)
        label = 0
        for state, tree in enumerate(self._trees):
            label = _fill(tree, table[state], np.ones((_N_PHONES, _N_PHONES), bool), label)
        return table

    def outputs(self, states: np.ndarray) -> np.ndarray:
        """Labels of an utterance's frames.

        Parameters
        ----------
        states
            Numbers into `phones.LABELS` `[frames]`, of a whole utterance.

        Returns
        -------
        numpy.ndarray
            Numbers into `labels`, int16 `[frames]`.
        """
        left, right = contexts(states)
        return self._table[states, left, right]

    def to_dict(self) -> dict[str, Any]:
        """The trees as plain JSON values."""

        def plain(tree: Tree) -> list[Any] | None:
            return tree and [*tree[:2], plain(tree[2]), plain(tree[3])]

        return {"trees": [plain(tree) for tree in self._trees]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Trees from what `to_dict` gave.

        Raises
        ------
        ValueError
            A question that is not known.
        """

        def tree(plain: list[Any] | None) -> Tree:
            if plain is None:
                return None
            side, name, yes, no = plain
            if side not in _SIDES or name not in _MEMBERS:
                raise ValueError(
                    f"question {[side, name]!r} is unknown; it must be left or right, and a class "
                    "of model_zoo.training.tie.CLASSES or a phone"
                )
            return (side, name, tree(yes), tree(no))

        return cls([tree(plain) for plain in values["trees"]])


def _count_leaves(tree: Tree) -> int:
    return 1 if tree is None else _count_leaves(tree[2]) + _count_leaves(tree[3])


def _asked(side: str, name: str) -> np.ndarray:
    """The contexts `[61, 61]` (left, right) for which the answer is yes."""
    members = _MEMBERS[name]
    shape = (_N_PHONES, _N_PHONES)
    return np.broadcast_to(members[:, None] if side == "left" else members, shape)


def _fill(tree: Tree, table: np.ndarray, where: np.ndarray, label: int) -> int:
    """Number a tree's leaves from `label` on, yes before no; gives the next number."""
    if tree is None:
        table[where] = label
        return label + 1
    side, name, yes, no = tree
    asked = _asked(side, name)
    return _fill(no, table, where & ~asked, _fill(yes, table, where & asked, label))


class _Node:
    """A leaf while trees grow: the rows of the statistics that reach it, and its best question."""

    def __init__(
        self, rows: np.ndarray, data: _Statistics, floor: np.ndarray, min_frames: int
    ) -> None:
        self.rows = rows
        self.branches = None
        self.gain, self.question = 0.0, None
        moments = data.moments[rows]
        if len(rows) < 2 or moments[:, 0].sum() < 2 * min_frames:
            return
        total = moments.sum(axis=0)
        answers = np.concatenate(
            [[_MEMBERS[name][side[rows]] for name, _ in _QUESTIONS] for side in data.sides]
        )
        yes = answers.astype(np.float64) @ moments
        no = total - yes
        gain = _log_likelihood(yes, floor) + _log_likelihood(no, floor)
        gain -= _log_likelihood(total, floor)
        gain[(yes[:, 0] < min_frames - 0.5) | (no[:, 0] < min_frames - 0.5)] = 0
        # Questions that part the rows alike have equal gains, but for rounding: the first counts.
        gain = np.round(gain / total[0], 9) * total[0]
        best = int(gain.argmax())
        if gain[best] > 0:
            self.gain = float(gain[best])
            self.question = (_SIDES[best // len(_QUESTIONS)], _QUESTIONS[best % len(_QUESTIONS)][0])
            self.split = (rows[answers[best]], rows[~answers[best]])

    def tree(self) -> Tree:
        """The tree below this node, as `TiedStates` takes it."""
        if self.branches is None:
            return None
        return (*self.question, *(branch.tree() for branch in self.branches))


def _grow(data: _Statistics, n_labels: int, min_frames: int) -> list[Tree]:
    """Trees as `TiedStates` takes them."""
    every = data.moments.sum(axis=0)
    width = (len(every) - 1) // 2
    mean = every[1 : 1 + width] / every[0]
    floor = VARIANCE_FLOOR * (every[1 + width :] / every[0] - mean**2)
    bounds = np.searchsorted(data.state, np.arange(len(phones.LABELS) + 1))
    order = np.arange(len(data.state))
    roots = [_Node(order[first:end], data, floor, min_frames) for first, end in pairwise(bounds)]
    # The number settles ties: the node that was made first.
    waiting = [(-node.gain, number, node) for number, node in enumerate(roots) if node.question]
    heapq.heapify(waiting)
    made, leaves = len(roots), len(roots)
    while waiting and leaves < n_labels:
        _, _, node = heapq.heappop(waiting)
        node.branches = [_Node(rows, data, floor, min_frames) for rows in node.split]
        leaves += 1
        for branch in node.branches:
            if branch.question:
                heapq.heappush(waiting, (-branch.gain, made, branch))
            made += 1
    return [root.tree() for root in roots]
