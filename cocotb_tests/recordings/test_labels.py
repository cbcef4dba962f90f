# SPDX-License-Identifier: Apache-2.0
"""Labels of other programs: MFA's tiers, HTK's pauses, phone maps, Praat's other files."""

import re

import pytest

from cocotb_tests.recordings.made_up import LABELS, PHN, refused, write_audio, write_ldc
from model_zoo import data
from model_zoo.data.labels import read_phone_map
from model_zoo.speech import phones
from model_zoo.speech.files import FileError

KNOWN = " ".join(phones.PHONES)


def grid(**tiers):
    """A TextGrid of half a second, in the short form; a tier is a list of (begin, end, label)."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "0.5", "<exists>"]
    lines.append(str(len(tiers)))
    for name, entries in tiers.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", "0.5", str(len(entries))]
        lines += [str(field) for b, e, label in entries for field in (b, e, f'"{label}"')]
    return "\n".join(lines) + "\n"


SHE = [(0, 0.1, "sil"), (0.1, 0.2, "SH"), (0.2, 0.5, "IY1")]
WORDS = [(0, 0.1, ""), (0.1, 0.5, "she")]


@pytest.fixture
def own(tmp_path):
    """Reads a folder of one recording with these labels."""

    def read(name, content, **options):
        write_audio(tmp_path / "a.flac")
        mode = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(mode)
        return data.read_folder("folder", tmp_path, **options)

    return read


# ---- pauses --------------------------------------------------------------------------------


def test_a_pause_of_no_length_is_dropped(own):
    lab = (
        "0 0 sp\n0 1000000 sil\n1000000 2000000 SH\n2000000 2000000 sp\n2000000 5000000 IY1\n"
        "5000000 5000000 sil\n"
    )
    (found,) = own("a.lab", lab)
    assert found.phones == ((0, 1600, "h#"), (1600, 3200, "sh"), (3200, 8000, "iy"))


def test_a_phone_of_no_length_is_refused(own, tmp_path):
    message = "label 'sh' ends at sample 1600, not behind its first sample 1600"
    refused(f"{tmp_path}/a.flac: {message}", own, "a.phn", "0 1600 sil\n1600 1600 sh\n")


# ---- MFA -----------------------------------------------------------------------------------


def test_the_aligner_s_tier_of_a_speaker_is_found(own):
    pytest.importorskip("praatio", reason="TextGrids need the extra: pip install -e .[train]")
    (found,) = own("a.TextGrid", grid(**{"ann - words": WORDS, "ann - phones": SHE}))
    assert [label for *_, label in found.phones] == ["h#", "sh", "iy"]


def test_tiers_of_two_speakers_need_a_choice(own, tmp_path):
    pytest.importorskip("praatio", reason="TextGrids need the extra: pip install -e .[train]")
    both = grid(**{"ann - phones": SHE, "bob - phones": WORDS})
    refused(
        f"{tmp_path}/a.flac: its a.TextGrid: has the interval tiers ['ann - phones', "
        "'bob - phones']; it must have one, or one named 'phones', unless --tier says which",
        own,
        "a.TextGrid",
        both,
    )
    (found,) = own("a.TextGrid", both, tier="ann - phones")
    assert [label for *_, label in found.phones] == ["h#", "sh", "iy"]
    refused(
        f"{tmp_path}/a.flac: its a.TextGrid: has no interval tier 'phones'; it has "
        "['ann - phones', 'bob - phones']",
        own,
        "a.TextGrid",
        both,
        tier="phones",
    )


def test_a_word_that_the_aligner_did_not_know_counts_as_a_pause_and_it_says_so(own):
    said = []
    lab = "0 1000000 sil\n1000000 2000000 spn\n2000000 3000000 SPN\n3000000 5000000 IY1\n"
    (found,) = own("a.lab", lab, report=said.append)
    assert [label for *_, label in found.phones] == ["h#", "pau", "pau", "iy"]
    assert said == [
        "2 labels 'spn' in 1 recordings (words that the aligner's dictionary lacked) count as "
        "pauses: phones heard there count as errors"
    ]


# ---- phone maps ----------------------------------------------------------------------------


def test_a_phone_map_says_what_other_phones_are(own, tmp_path):
    table = tmp_path / "ipa.map"
    table.write_text("ʃ sh\ni iy\n\nspn ah\nSIL sil\n", encoding="utf-8")
    lab = "0 1000000 SIL\n1000000 2000000 ʃ\n2000000 3000000 spn\n3000000 5000000 i\n"
    said = []
    (found,) = own("a.lab", lab, phone_map=table, report=said.append)
    assert [label for *_, label in found.phones] == ["h#", "sh", "ah", "iy"]
    assert said == []


def test_a_phone_map_is_for_timit_s_layout_too(tmp_path):
    (tmp_path / "map").write_text("S sh\n")
    root = write_ldc(tmp_path / "c")
    (root / "train/dr1/fabc0/si1.phn").write_text(PHN.replace("sh", "s"))
    (tmp_path / "map").write_text("s sh\n")
    found = data.read_folder("timit", root, phone_map=tmp_path / "map")
    assert {u.phones for u in found} == {LABELS}


MAPS = {
    "unknown phone": ("S sh\nX x\n", f"line 2: 'x' is none of our phones: sil {KNOWN}"),
    "three columns": ("S sh 1\n", "line 1 is 'S sh 1'; it must be their phone and ours"),
    "twice": ("S sh\nS s\n", "line 2: 'S' is 's' here and 'sh' above"),
    "empty": ("\n", "has no line; each must be their phone and ours"),
    "not text": (b"\xff\xfe", "byte 0 is not UTF-8; it must be text"),
    "a long phone": (
        "S " + "x" * 90,
        f"line 1: '{'x' * 24}'... is none of our phones: sil {KNOWN}",
    ),
}


@pytest.mark.parametrize(("content", "message"), MAPS.values(), ids=MAPS)
def test_a_phone_map_that_does_not_fit_is_refused(tmp_path, content, message):
    table = tmp_path / "map"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_phone_map(table)
    write_audio(tmp_path / "c" / "a.wav")
    refused(
        f"phone map {table}: {message}",
        lambda: data.read_folder("folder", tmp_path / "c", phone_map=table),
    )


def test_options_on_labels_are_refused_where_there_are_none(tmp_path):
    for options, message in (
        ({"tier": "phones"}, "--tier is for the format folder; timit has no phone labels in tiers"),
        (
            {"phone_map": tmp_path / "none"},
            "--phone-map is for the format folder or timit; kaldi has no phone labels",
        ),
    ):
        layout = message.split("; ")[1].split()[0]
        refused(message, lambda: data.read_folder(layout, tmp_path, **options))  # noqa: B023


# ---- Praat's other files -------------------------------------------------------------------

SAVE = "save it in Praat with Save as text file"
PRAAT = {
    "binary": (b"ooBinaryFile\x08TextGrid\0\0", f"is a binary Praat file; {SAVE}"),
    "chronological": (
        b'"Praat chronological TextGrid text file"\n0 0.5\n',
        f"is a chronological TextGrid; {SAVE}",
    ),
    "collection": (
        b'File type = "ooTextFile"\nObject class = "Collection"\n\nsize = 2\n',
        f"is a Praat 'Collection', not a TextGrid; {SAVE}",
    ),
    "pitch tier": (
        b'File type = "ooTextFile"\nObject class = "PitchTier"\n\n0\n',
        f"is a Praat 'PitchTier', not a TextGrid; {SAVE}",
    ),
    "short pitch tier": (
        b'File type = "ooTextFile short"\n"PitchTier"\n\n0\n',
        f"is a Praat 'PitchTier', not a TextGrid; {SAVE}",
    ),
    "latin-1": (
        grid(phones=SHE).replace("SH", "\xe9").encode("latin-1"),
        "byte 122 is not UTF-8; it must be text",
    ),
    "empty": (b"", "is no TextGrid: it begins with '', not with 'File type = \"ooTextFile\"'"),
}


@pytest.mark.parametrize(("content", "message"), PRAAT.values(), ids=PRAAT)
def test_praat_s_other_files_are_named(own, tmp_path, content, message):
    refused(f"{tmp_path}/a.flac: its a.TextGrid: {message}", own, "a.TextGrid", content)


# ---- long lines ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.phn", "a.lab", "a.TextGrid"])
@pytest.mark.parametrize(
    "content", ["x" * 100_000, f"0 8000 {'y' * 100_000}\n", "0 " + "9" * 4000 + " aa\n"]
)
def test_a_message_quotes_at_most_a_line(own, tmp_path, name, content):
    with pytest.raises(data.DataError) as caught:
        own(name, content)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 300
    assert "'..." in str(caught.value) or name == "a.TextGrid"


def test_words_that_the_dictionary_lacks_are_named_in_a_line():
    assert data.missing_words(["b", "a", "b"]) == (
        "3 sentences left out, with words that the dictionary lacks: a, b"
    )
    assert data.ruled_words(["b", "a"]) == (
        "pronounced by espeak-ng's rules, as the dictionary lacks them: a, b"
    )
    line = data.missing_words([f"{n:02}{'x' * 5000}" for n in range(15)])
    assert line.endswith(" and 5 more")
    assert len(line) < 450
    assert len(str(phones.UnknownWordError("x" * 5000))) < 100


def test_a_tier_s_long_names_and_labels_are_cut(own, tmp_path):
    pytest.importorskip("praatio", reason="TextGrids need the extra: pip install -e .[train]")
    long = [(0, 0.5, "z" * 100_000)]
    for tiers in ({"phones": long}, {"n" * 5000: SHE, "m" * 5000: SHE}):
        with pytest.raises(data.DataError) as caught:
            own("a.TextGrid", grid(**tiers))
        assert len(str(caught.value).replace(str(tmp_path), "")) < 300
