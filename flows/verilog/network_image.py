# SPDX-License-Identifier: Apache-2.0
"""A network as the image that the C driver loads: words for the weight window, with a checksum.

Words of 32 bits: "PLSN", the version of this format, the count of words behind the checksum, the
checksum (CRC-32 of these, lowest byte first); then the configuration's hash in two words, and for
each region of the weight window its number, the count of its words, and the words.
"""

import re
import zlib
from pathlib import Path

from flows.verilog.contents import window_words
from golden_model import Network
from golden_model.files.escape import c_comment
from golden_model.files.writing import atomic_write
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError

__all__ = ["SUFFIXES", "image_words", "write_image"]

SUFFIXES = (".bin", ".h")
_MAGIC = int.from_bytes(b"PLSN", "little")
_VERSION = 1
_WORDS_PER_LINE = 8


def image_words(config: AcceleratorConfig, network: Network) -> list[int]:
    """The image of a network for a machine.

    Raises
    ------
    NetworkError
        The network is for other shapes or formats than the machine.
    """
    digest = config.config_hash
    body = [int(digest[:8], 16), int(digest[8:], 16)]
    for region, _, words in window_words(config, network):
        body += [region.value, len(words), *words]
    return [_MAGIC, _VERSION, len(body), zlib.crc32(_bytes(body)), *body]


def _bytes(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


def write_image(config: AcceleratorConfig, network: Network, output: Path) -> int:
    """Write a network's image, whole or not at all; returns its words.

    Parameters
    ----------
    config, network
        The machine, and what it is to compute.
    output
        `.bin` for the words as bytes, lowest first, or `.h` for a C array named after the file.

    Raises
    ------
    PlosiveError
        The file has another suffix, its name makes no C name, or it cannot be written.
    NetworkError
        The network is for other shapes or formats than the machine.
    """
    words = image_words(config, network)
    if output.suffix == ".h":
        content = _header(config, network, output, words).encode()
    else:
        content = _bytes(words)
    atomic_write(output, content)
    return len(words)


def _header(config: AcceleratorConfig, network: Network, output: Path, words: list[int]) -> str:
    name = output.stem
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise PlosiveError(
            f"-o {output}: {name!r} is no name in C, and the array is named after it"
        )
    guard = f"{name.upper()}_H"
    licence = network.header.get("licence")
    lines = [
        f"/* A network for a Plosive of configuration {config.config_hash}, for plosive_load(). */",
        *([f"/* Licence: {c_comment(licence)} */"] if licence else ()),
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        f"#define {name.upper()}_WORDS {len(words)}u",
        "",
        f"static const uint32_t {name}[{name.upper()}_WORDS] = {{",
    ]
    for start in range(0, len(words), _WORDS_PER_LINE):
        row = words[start : start + _WORDS_PER_LINE]
        lines.append("    " + " ".join(f"0x{word:08x}u," for word in row))
    return "\n".join([*lines, "};", "", "#endif", ""])
