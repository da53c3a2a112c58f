"""Submissions that were damaged on their way, and archives that a hostile author sealed again."""

import hashlib
import json
import math
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from campaign.harness import ENDS, Case, Outcome, finished

SUITE = """
datasets = ["moons"]
models = ["cfm"]
metrics = ["sliced_w2", "nfe"]
seeds = [0, 1]
plan = {steps = 20, batch_size = 16, eval_every = 10}
evaluation = {n = 64, curve = [1], interval = true}
"""

COMMANDS = {
    "verify": ("verify", "s.genbench.zip", "--sample", "1"),
    "verify as JSON": ("verify", "s.genbench.zip", "--sample", "0", "--json"),
    "leaderboard": ("leaderboard", "--results", "r", "--add", "s.genbench.zip"),
}

Change = Callable[[dict[str, Any]], object]
"""Changes a record in place."""


def _row(**values: Any) -> Change:
    return lambda record: record["results"][0].update(values)


def _spec(part: str, **values: Any) -> Change:
    return lambda record: record["spec"][part].update(values)


NUMBERS = {
    "nan": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "largest": 1.7e308,
    "smallest": 5e-324,
    "many digits": 10**400,
    "text": "1.0",
    "true": True,
    "list": [1.0],
    "none": None,
}
FIELDS: dict[str, Callable[[Any], Change]] = {
    "value": lambda x: _row(value=x),
    "floor": lambda x: _row(floor=x),
    "nfe": lambda x: _row(nfe=x),
    "n": lambda x: _row(n=x),
    "step": lambda x: _row(step=x, point="training"),
    "half interval": lambda x: _row(details={"half_interval": x}),
    "detail": lambda x: _row(details={"bias": x}),
    "seconds": lambda x: lambda record: record["provenance"]["training"]["cost"].update(train_seconds=x),
    "seed": lambda x: lambda record: record["spec"].update(seed=x),
    "learning rate": lambda x: _spec("plan", lr=x),
    "samples": lambda x: _spec("evaluation", n=x),
}
FORGED: dict[str, Change] = {
    **{f"{field} is {name}": make(x) for field, make in FIELDS.items() for name, x in NUMBERS.items()},
    "half interval is negative": _row(details={"half_interval": -1.0}),
    "details are a list": _row(details=[1]),
    "details are deep": _row(details={"half_interval": [[[[[[1.0]]]]]]}),
    "metric is a path": _row(metric="../../x"),
    "metric is a script": _row(metric="<script>alert(1)</script>"),
    "metric has escapes": _row(metric="\x1b[2Jsliced_w2"),
    "protocol has escapes": _row(protocol="\x1b]0;x\x07"),
    "direction is unknown": _row(better="sideways"),
    "point is unknown": _row(point="elsewhere"),
    "row twice": lambda record: record["results"].append(record["results"][0]),
    "no rows": lambda record: record["results"].clear(),
    "rows are a table": lambda record: record.update(results={}),
    "label of another model": lambda record: record["labels"].update(model="best"),
    "label with escapes": lambda record: record["labels"].update(model="\x1b[31mcfm"),
    "label of another run": lambda record: record["labels"].update(run="../../x"),
    "unknown model": _spec("model", name="no-such-model"),
    "model is a file": _spec("model", name="evil@12345678"),
    "model is a module": _spec("model", name="os:system"),
    "unknown data set": _spec("data", name="no-such-data"),
    "data with a path": lambda record: record["spec"].update(
        data={"name": "points", "version": 1, "path": "/etc/passwd"}
    ),
    "version is none": _spec("model", version=None),
    "more keys": lambda record: record.update(extra=1),
    "no provenance": lambda record: record.pop("provenance"),
    "code is a text": lambda record: record["provenance"]["training"].update(code="x"),
    "stack of strangers": lambda record: record["spec"].update(stack=[{"seed": 0}, {"seed": "x"}]),
    "better value": lambda record: record["results"][0].update(value=record["results"][0]["value"] / 2),
}


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut in half": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "twice": lambda data: data * 2,
    "zeros": lambda data: bytes(len(data)),
    "random": lambda data: random.Random(0).randbytes(2000),
    "text": lambda data: b"hello",
}
"""Other bytes in the place of those of a file."""


def flipped(data: bytes, place: int, bit: int = 4) -> bytes:
    """Return the bytes, one of them changed by the bits of `bit`."""
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def damaged(data: bytes, key: str, flips: int = 10, cuts: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield bytes in which a bit is flipped at a random place, and the first tenths of them; the key is the seed."""
    draw = random.Random(key)
    for number in range(flips):
        yield f"bit {number} flipped", flipped(data, draw.randrange(len(data)), 1 << draw.randrange(8))
    for tenths in range(cuts):
        yield f"cut to {tenths} tenths", data[: tenths * len(data) // 10]


def prepare(folder: Path) -> Path:
    """Run a small sweep and submit it; return the folder."""
    folder.mkdir(parents=True)
    (folder / "tiny.toml").write_text(SUITE)
    submit = ("results", "submit", "tiny", "--results", "r", "--to", "s.genbench.zip")
    return finished(folder, ("sweep", "tiny.toml", "--results", "r"), submit)


def cases(prepared: Path) -> Iterator[Case]:
    """Yield cases of submissions; each meets a copy of what `prepare` made."""
    sound = (prepared / "s.genbench.zip").read_bytes()
    contents = dict(damaged(sound, "submission", 20, 10)) | {name: change(sound) for name, change in BYTES.items()}
    damages = {name: lambda path, data=data: path.write_bytes(data) for name, data in contents.items()}
    forgeries = {f"forged: {name}": lambda path, change=change: _forge(path, change) for name, change in FORGED.items()}
    for number, (name, make) in enumerate((damages | forgeries).items()):
        for command in list(COMMANDS)[number % 2 :: 2]:

            def files(folder: Path, make: Callable[[Path], object] = make) -> None:
                make(folder / "s.genbench.zip")

            # Bytes outside the members, such as times and attributes, do not matter.
            yield Case(f"submissions/{command}, {name}", COMMANDS[command], ENDS, files, prepared, check=_shown)


def _forge(path: Path, change: Change) -> None:
    """Change the first record of a submission, and seal it again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("record.json"))
    record = json.loads(members[name])
    del record["sha256"]
    change(record)
    body = json.dumps(record)[:-1]
    members[name] = f'{body},\n "sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}\n'.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def _shown(folder: Path, outcome: Outcome) -> str | None:
    """Return what a table shows that is not a number; what is left out is named with its reason."""
    said = re.sub(r"\b(nan|inf)\s+is\s+wrong", "", outcome.stdout)  # a reason, which may be on lines of its own
    lines = [line for line in said.splitlines() if "left out" not in line and "refused" not in line]
    found = [word for line in lines for word in line.split() if word in ("nan", "inf", "Infinity")]
    return f"printed {found[0]}" if found and outcome.ending == "done" else None
