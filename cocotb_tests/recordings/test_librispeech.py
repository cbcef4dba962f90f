# SPDX-License-Identifier: Apache-2.0
"""LibriSpeech in both layouts, and who of its readers may be trained on."""

import pytest

from cocotb_tests.recordings.made_up import refused, write_audio
from model_zoo import data
from model_zoo.data import librispeech
from model_zoo.training import recipe

TRAIN, TEST = "train-clean-100", "test-other"


def write_distributed(subset, readers, chapters=("7", "12")):
    """A made-up subset as LibriSpeech is distributed: two recordings in each chapter."""
    for reader in readers:
        for chapter in chapters:
            folder = subset / reader / chapter
            names = [f"{reader}-{chapter}-{number:04}" for number in range(2)]
            for name in names:
                write_audio(folder / f"{name}.flac")
            lines = [f"{name} SHE HAD {reader} TWICE\n" for name in names]
            (folder / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))


def write_flat(subset, readers):
    """The same subset with all recordings in one folder."""
    names = [f"{reader}-{chapter}-{n:04}" for reader in readers for chapter in "7" for n in (0, 1)]
    for name in names:
        write_audio(subset / f"{name}.flac")
    lines = [f"{name}\tSHE HAD {name.split('-')[0]} TWICE\n" for name in names]
    (subset / "prompts.tsv").write_text("".join(lines))


def parts(utterances):
    """Readers by split."""
    return {
        split: {u.speaker for u in utterances if u.split == split}
        for split in ("train", "dev", "test", "")
    }


def test_the_layout_as_distributed_is_read_from_any_level(tmp_path):
    root = tmp_path / "LibriSpeech"
    write_distributed(root / TRAIN, ("103", "19"))
    write_distributed(root / TEST, ("367",))
    (root / "SPEAKERS.TXT").write_text("; what is distributed beside the subsets\n")
    found = data.read_folder("librispeech", root)
    assert [u.name for u in found[:3]] == ["19-12-0000", "19-12-0001", "19-7-0000"]
    assert [u.speaker for u in found] == ["19"] * 4 + ["103"] * 4 + ["367"] * 4
    assert found[0].text == "SHE HAD 19 TWICE"
    assert not any(u.phones for u in found)
    assert parts(found)["test"] == {"367"}
    subset = data.read_folder("librispeech", root / TEST)
    assert [u.name for u in subset] == [u.name for u in found[8:]]
    assert parts(subset)["test"] == {"367"}
    # In a data folder, the subsets are corpora with names; so is the folder's own spelling.
    assert [u.name for u in data.read(f"librispeech-{TEST}", tmp_path)] == [u.name for u in subset]


def test_a_flat_folder_gives_the_same_as_the_distributed_one(tmp_path):
    write_distributed(tmp_path / "a" / TRAIN, ("19", "103"), chapters=("7",))
    write_flat(tmp_path / "b" / TRAIN, ("103", "19"))
    both = [data.read_folder("librispeech", tmp_path / place / TRAIN) for place in "ab"]
    ours, theirs = ([(u.speaker, u.name, u.text, u.split) for u in part] for part in both)
    assert ours == theirs


def test_readers_of_training_subsets_are_split_by_themselves(tmp_path):
    readers = [str(number) for number in range(1, 61)]
    write_flat(tmp_path / "one" / TRAIN, readers)
    found = parts(data.read_folder("librispeech", tmp_path / "one"))
    assert found["train"] | found["dev"] == set(readers)
    assert found["dev"]
    assert len(found["dev"]) < len(readers) / 4
    write_flat(tmp_path / "two" / TRAIN, readers[::2])
    half = parts(data.read_folder("librispeech", tmp_path / "two"))
    assert half["dev"] == found["dev"] & set(readers[::2])


@pytest.mark.parametrize("subset", librispeech.SUBSETS)
def test_readers_of_test_subsets_are_only_tested(tmp_path, subset):
    write_flat(tmp_path / "librispeech" / subset, [str(number) for number in range(1, 31)])
    found = parts(data.read(f"librispeech-{subset}", tmp_path))
    used = {split for split, readers in found.items() if readers}
    part = subset.partition("-")[0]
    assert used == ({"train", "dev"} if part == "train" else {part})


def test_folders_of_other_names_are_split_as_ones_own(tmp_path):
    write_flat(tmp_path / "readers", ("19", "103"))
    assert parts(data.read_folder("librispeech", tmp_path / "readers"))["test"] == {"19", "103"}


def test_a_reader_in_two_splits_is_refused(tmp_path):
    write_flat(tmp_path / TRAIN, ("19", "103"))
    write_flat(tmp_path / TEST, ("19",))
    message = (
        f"corpus {tmp_path.name!r}: reader '19' is in subsets of two splits, 'test' and 'train'; "
        "splits are by speaker"
    )
    refused(message, data.read_folder, "librispeech", tmp_path)
    assert len(data.read_folder("librispeech", tmp_path, splits=False)) == 6


def test_what_does_not_fit_is_named(tmp_path):
    message = (
        f"corpus {tmp_path.name!r}: {str(tmp_path)!r} holds neither SPEAKER/CHAPTER/*.trans.txt "
        "(LibriSpeech as distributed) nor a prompts.tsv"
    )
    refused(message, data.read_folder, "librispeech", tmp_path)
    write_distributed(tmp_path / TEST, ("19",), chapters=("7",))
    folder = tmp_path / TEST / "19" / "7"
    table = folder / "19-7.trans.txt"
    (folder / "19-7-0001.flac").unlink()
    message = f"{folder / '19-7-0001.flac'}: no such file, but line 2 of {table.name} names it"
    refused(message, data.read_folder, "librispeech", tmp_path)
    table.write_text("19-7-0000\n")
    message = (
        f"{table}: line 1 is '19-7-0000'; it must be a recording's name, a blank and the sentence"
    )
    refused(message, data.read_folder, "librispeech", tmp_path)
    write_audio(folder / "a.flac")
    table.write_text("a SHE HAD\n")
    message = f"{folder / 'a.flac'}: its name must be SPEAKER-CHAPTER-NUMBER, three numbers"
    refused(message, data.read_folder, "librispeech", tmp_path)


# ---- the recordings at hand ----------------------------------------------------------------


@pytest.fixture
def at_hand(data_dir):
    if not (data_dir / "librispeech").is_dir():
        pytest.skip(f"no librispeech in {data_dir}: put train-clean-100 and test-other there")
    return {name: data.read(f"librispeech-{name}", data_dir) for name in (TRAIN, TEST)}


def test_no_reader_of_a_test_set_is_trained_or_tuned_on(at_hand):
    train, test = (parts(at_hand[name]) for name in (TRAIN, TEST))
    assert len(train["train"] | train["dev"]) == 250
    assert 10 <= len(train["dev"]) <= 30
    assert len(test["test"]) == 6
    assert not train["train"] & train["dev"]
    assert not train["test"]
    assert not test["train"] | test["dev"]
    assert not (train["train"] | train["dev"]) & test["test"]
    texts = {u.text.lower() for u in at_hand[TRAIN]}
    assert not texts & {u.text.lower() for u in at_hand[TEST]}


@pytest.mark.parametrize("name", recipe.names())
def test_no_recipe_trains_or_tunes_on_what_it_scores(name, data_dir):
    wanted = recipe.load(name)
    trained = {corpus for stage in wanted.stages for corpus, _ in stage.data}
    known = (trained | {*wanted.tune, *wanted.test}) & data.CORPORA.keys()
    missing = [c for c in known if not (data_dir / data.CORPORA[c].folder).is_dir()]
    if missing:
        pytest.skip(f"no {data.CORPORA[missing[0]].folder} in {data_dir}")
    found = {corpus: data.read(corpus, data_dir) for corpus in known}
    heard = [u for c in trained & known for u in found[c] if u.split == "train"]
    heard += [u for c in wanted.tune if c in known for u in found[c] if u.split == "dev"]
    scored = [u for c in wanted.test if c in known for u in found[c] if u.split == "test"]
    assert not {u.path for u in heard} & {u.path for u in scored}
    by_speaker = {c for c in known if data.CORPORA[c].format != "prompts"}
    strangers = {u.speaker for u in scored if u.corpus in by_speaker}
    assert not strangers & {u.speaker for u in heard}
    prompted = {u.text for u in scored if u.corpus not in by_speaker}
    assert not prompted & {u.text for u in heard if u.corpus not in by_speaker}
