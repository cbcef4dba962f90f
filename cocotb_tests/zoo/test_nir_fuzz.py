# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile NIR files: each is read, or refused in one short line.

Every example is a valid file in which bytes are flipped or cut off, or fields and groups are
replaced by what breaks readers. `make test-all` tries many more of them.
"""

import io
import warnings

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw.errors import PlosiveError
from model_zoo.exchange.nir_graph import nir_file
from model_zoo.exchange.nir_graph import read as read_nir
from model_zoo.exchange.nir_graph.conversion import from_nir

FEW, MANY = 100, 500
LONGEST_MESSAGE = 700  # a refusal may list the fields of a node

HOSTILE = [
    *(np.float64(np.nan), np.float32(np.inf), np.zeros(0), np.zeros((2, 0)), np.zeros((1, 1, 1))),
    *(np.full((3, 4), 1e300), np.full(4, -1e-300), np.array(1j), np.array([True, False])),
    *(np.int64(-(2**63)), np.uint64(2**64 - 1), "a text", "", "\u2028\x1b[31m", b"\xff\xfe"),
    *(np.array([b"a", b"b"]), np.array([[b"input", b"output"]] * 3), np.arange(1000)),
]


def _bytes() -> bytes:
    rng = np.random.default_rng(1)
    lif = {"tau": np.full(3, 2e-3), "r": np.ones(3), "v_leak": np.zeros(3)}
    graph = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([4])}),
            "fc": nir.Linear(rng.normal(size=(3, 4))),
            "lif": nir.LIF(**lif, v_threshold=np.ones(3), v_reset=np.zeros(3)),
            "out": nir.Linear(rng.normal(size=(2, 3))),
            "output": nir.Output({"output": np.array([2])}),
        },
        [("input", "fc"), ("fc", "lif"), ("lif", "out"), ("out", "output")],
    )
    held = io.BytesIO()
    nir.write(held, graph)
    return held.getvalue()


VALID = _bytes()
FIELDS: list[str] = []  # every group and field of the file
with h5py.File(io.BytesIO(VALID), "r") as _file:
    _file.visit(FIELDS.append)


def outcome(path) -> str:
    """Either "read", or the message of the refusal; anything else is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a conversion warns of is tested elsewhere
        try:
            from_nir(read_nir(path), dt=1e-4, nearest=True)
        except PlosiveError as error:
            return str(error)
    return "read"


def check(path) -> None:
    told = outcome(path)
    assert "\n" not in told
    assert len(told.replace(str(path), "")) < LONGEST_MESSAGE, told


edits = st.lists(
    st.tuples(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=8)), max_size=6
)
replaced = st.lists(
    st.tuples(st.sampled_from(FIELDS), st.sampled_from(range(len(HOSTILE) + 2))),
    min_size=1,
    max_size=3,
)


def damaged(path, changes, length) -> None:
    data = bytearray(VALID)
    for place, values in changes:
        data[place : place + len(values)] = values[: len(data) - place]
    path.write_bytes(bytes(data[:length]))


def rebuilt(path, changes) -> None:
    path.write_bytes(VALID)
    with h5py.File(path, "r+") as file:
        for name, what in changes:
            if name not in file:
                continue
            del file[name]
            if what < len(HOSTILE):
                file[name] = HOSTILE[what]
            elif what == len(HOSTILE):
                file.create_group(name)


@pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_damaged_nir_file_is_read_or_refused(tmp_path, examples):
    path = tmp_path / "damaged.nir"

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(changes=edits, length=st.integers(0, len(VALID)) | st.just(len(VALID)))
    def tried(changes, length):
        damaged(path, changes, length)
        check(path)

    tried()


@pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_nir_file_with_hostile_fields_is_read_or_refused(tmp_path, examples):
    path = tmp_path / "hostile.nir"

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(changes=replaced)
    def tried(changes):
        rebuilt(path, changes)
        check(path)

    tried()


def test_a_small_file_that_promises_many_values_is_refused_before_they_are_read(tmp_path):
    path = tmp_path / "promise.nir"
    path.write_bytes(VALID)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc/weight"]
        file["node/nodes/fc"].create_dataset("weight", (100_000, 100_000), "f8", chunks=(100, 100))
    assert path.stat().st_size < 100_000
    assert outcome(path) == (
        f"{path}: its values have more than the {nir_file.MOST_BYTES:,} bytes that are read at "
        "most: '/node/nodes/fc/weight' has the shape [100000, 100000]"
    )


def test_groups_in_a_circle_and_links_are_refused(tmp_path):
    path = tmp_path / "circle.nir"
    path.write_bytes(VALID)
    with h5py.File(path, "r+") as file:
        file["node/nodes/fc/again"] = file["node"]
    assert outcome(path) == f"{path}: its groups are more than {nir_file.MOST_DEPTH} deep"
    path.write_bytes(VALID)
    with h5py.File(path, "r+") as file:
        file["node/nodes/more"] = h5py.ExternalLink("other.nir", "/node")
    assert outcome(path) == (f"{path}: 'more' is a link to another place: it must be the value")
