"""Components of the tests, run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Inputs, Outputs
from reference_node.algorithms.errors import InputRefused


def echo(_channel: Channel, params: Mapping[str, Any], inputs: Inputs) -> Outputs:
    """Do what the word says."""
    word = str(params.get("word", "hello"))
    WORDS.get(word, lambda: None)()
    sys.stdout.write(f"{word}\n")
    inputs.progress(1.0, word)
    files = {}
    if "out" in inputs.targets:
        taken = [path.read_text() for path in inputs.files.values()]
        inputs.targets["out"].write_text("".join([*taken, word + "\n"]))
        files["out"] = inputs.targets["out"]
    return Outputs(files, {"word": word, "pid": os.getpid()})


def swap(channel: Channel, params: Mapping[str, Any], _inputs: Inputs) -> Outputs:
    """Tell the others a word and hear theirs."""
    for other in channel.parties:
        if other != channel.me:
            channel.send(other, "word", str(params["word"]).encode())
    heard = {other: channel.recv(other, "word").decode() for other in channel.parties if other != channel.me}
    return Outputs({}, {"heard": heard})


def _hang() -> None:
    """Wait until killed, with a grandchild that waits too."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("pids").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def _hog() -> None:
    """Take more memory than there is."""
    held = []
    while True:
        held.append(bytearray(16 << 20))


def _refuse() -> None:
    raise InputRefused("the table is not what it should be")


def _die() -> None:
    os.abort()


def _raise() -> None:
    words = ("identifier", "of", "somebody")
    raise KeyError("-".join(words))


WORDS = {"hang": _hang, "hog": _hog, "refuse": _refuse, "die": _die, "raise": _raise}
