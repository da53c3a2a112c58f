"""Results folders with damaged, misfiled, foreign and odd files, met by every command that reads them."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign.damage import same_table
from campaign.files import PLACES, damages
from campaign.harness import DONE, EITHER, ENDS, FAILED, REFUSED, Case

FILES = {
    "record": "runs/cfm-moons-0-*/*/record.json",
    "weights": "runs/cfm-moons-0-*/model.safetensors",
    "train log": "runs/cfm-moons-0-*/train.csv",
    "published records": "tiny/records.jsonl.gz",
    "table": "tiny/table.csv",
}

COMMANDS = {
    "sweep": ("sweep", "tiny.toml", "--results", "r"),
    "status": ("results", "status", "--results", "r"),
    "report": ("report", "--results", "r"),
    "verify": ("verify", "--sample", "1", "--results", "r"),
    "merge": ("results", "merge", "r", "--results", "into"),
    "compare": ("compare", "r", "r"),
    "clean": ("results", "clean", "--results", "r", "--dry-run"),
    "eval": ("eval", "{run}", "--metric", "mmd", "--results", "r"),
}
READING = list(COMMANDS)[1:]  # the module damage has more of sweep

STRANGE = {
    "json null": lambda path: path.write_text("null"),
    "json list": lambda path: path.write_text("[" * 10_000),
    "not finite": lambda path: path.write_text('{"spec": NaN}'),
}

MISFILED = [(kind, other) for kind in ("record", "weights") for other in ("cfm-moons-1", "wcfm-moons-0")]

STRAY: dict[str, Callable[[Path], object]] = {
    "file among runs": lambda r: (r / "runs/notes.txt").write_text("hello"),
    "empty folder among runs": lambda r: (r / "runs/cfm-moons-7-000000000000").mkdir(),
    "folder of an odd name": lambda r: (r / "runs/\u00e9 \U0001f600").mkdir(),
    "folder of hidden files": lambda r: shutil.copytree(_run(r), r / "runs/.hidden"),
    "link to a run": lambda r: (r / "runs/link").symlink_to(_run(r).name),
    "link to the root": lambda r: (r / "runs/root").symlink_to("/"),
    "link to the folder above": lambda r: (r / "runs/up").symlink_to(".."),
    "file among leases": lambda r: ((r / "leases").mkdir(exist_ok=True), (r / "leases/x").write_text("x")),
    "folder among leases": lambda r: (r / "leases/x/y").mkdir(parents=True),
    "leases are a file": lambda r: (r / "leases").write_text("x"),
    "cache is a file": lambda r: (r / "cache").write_text("x"),
    "temporary files": lambda r: (_run(r) / ".record.json.abc.tmp").write_text("x"),
    "copy of a folder": lambda r: shutil.copytree(_run(r), r / "runs/copy of a run"),
    "FIFO among runs": lambda r: os.mkfifo(r / "runs/fifo"),
}

ROOTS = {name: PLACES[name] for name in ("FIFO", "dangling link", "link to itself", "empty device")} | {
    "file": lambda path: path.write_text("x"),
    "proc": lambda path: path.symlink_to("/proc/self"),
}


def cases(swept: Path) -> Iterator[Case]:
    """Yield cases of results folders; each has a copy of a finished sweep."""
    same = same_table(swept / "r/tiny/table.csv")

    def case(name: str, command: str, damage: Callable[[Path], object], wrong: bool = False) -> Case:
        arguments = tuple(word.replace("{run}", f"r/runs/{_run(swept / 'r').name}") for word in COMMANDS[command])
        expect = {"sweep": DONE, "verify": FAILED if wrong else ENDS}.get(command, ENDS)
        if (name, command) == ("stray leases are a file", "sweep"):  # it may be anybody's: it is named, not removed
            expect = REFUSED
        check = same if command == "sweep" and expect == DONE else None
        return Case(f"results/{command}, {name}", arguments, expect, lambda f: damage(f / "r"), swept, check=check)

    for kind, pattern in FILES.items():
        for number, (what, damage) in enumerate([*damages(kind, flips=3), *STRANGE.items()]):
            for command in READING[number % 3 :: 3]:  # each damage meets a third of the commands
                wrong = kind in ("record", "weights") and what not in ("absent", "read-only")
                name = f"{kind}, {what}"
                yield case(name, command, lambda r, p=pattern, damage=damage: damage(_first(r, p)), wrong)
    for kind, other in MISFILED:

        def misfile(r: Path, pattern: str = FILES[kind], other: str = other) -> None:
            _first(r, pattern).write_bytes(_first(r, pattern.replace("cfm-moons-0", other)).read_bytes())

        for command in COMMANDS:
            yield case(f"{kind} of {other} in this folder", command, misfile, True)
    for what, make in STRAY.items():
        for command in COMMANDS:
            yield case(f"stray {what}", command, make)
    for name, make in ROOTS.items():
        for command in ("sweep", "status", "report", "verify", "merge"):
            words = (*COMMANDS[command][:-1], "out")
            reads = name == "proc" and command in ("status", "verify")  # it can be read, and holds no records
            expect = EITHER | FAILED if reads else REFUSED | FAILED
            what = f"results/{command}, results is a {name}"
            yield Case(what, words, expect, lambda folder, make=make: make(folder / "out"), swept)


def _first(results: Path, pattern: str) -> Path:
    return sorted(results.glob(pattern))[0]


def _run(results: Path) -> Path:
    return _first(results, "runs/cfm-moons-0-*")
