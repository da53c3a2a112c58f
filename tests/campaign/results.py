"""Results folders with damaged, misfiled, foreign and odd files, met by every command that reads them."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from campaign.harness import Case, Outcome

FILES = {
    "record": "runs/cfm-moons-0-*/*/record.json",
    "samples": "runs/cfm-moons-0-*/*/samples.npz",
    "weights": "runs/cfm-moons-0-*/model.safetensors",
    "train log": "runs/cfm-moons-0-*/train.csv",
    "published records": "tiny/records.jsonl.gz",
    "table": "tiny/table.csv",
}

COMMANDS = {
    "status": ("results", "status", "--results", "r"),
    "report": ("report", "--results", "r"),
    "verify": ("verify", "r", "--sample", "1"),
    "sweep": ("sweep", "tiny.toml", "--results", "r"),
    "merge": ("results", "merge", "r", "--results", "into"),
    "compare": ("compare", "r", "r"),
    "clean": ("results", "clean", "--results", "r", "--dry-run"),
    "eval": ("eval", "{run}", "--metric", "mmd", "--results", "r"),
}

REFUSED = frozenset({"refused"})
CLEAN_END = REFUSED | {"done", "failed"}


def _at(folder: Path, kind: str) -> Path:
    return sorted((folder / "r").glob(FILES[kind]))[0]


def _flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _other(folder: Path, kind: str, other: str) -> Path:
    return sorted((folder / "r").glob(FILES[kind].replace("cfm-moons-0", other)))[0]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "last byte lost": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "bit flipped early": lambda path: _flip(path, 0.05),
    "bit flipped in the middle": lambda path: _flip(path, 0.5),
    "bit flipped late": lambda path: _flip(path, 0.98),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "random": lambda path: path.write_bytes(os.urandom(2000)),
    "trailing bytes": lambda path: path.write_bytes(path.read_bytes() + b"\n\n{}"),
    "absent": lambda path: path.unlink(),
    "folder": lambda path: _replace(path, Path.mkdir),
    "FIFO": lambda path: _replace(path, os.mkfifo),
    "dangling link": lambda path: _replace(path, lambda p: p.symlink_to("nowhere")),
    "link to itself": lambda path: _replace(path, lambda p: p.symlink_to(p.name)),
    "endless device": lambda path: _replace(path, lambda p: p.symlink_to("/dev/zero")),
    "json null": lambda path: path.write_text("null"),
    "json list": lambda path: path.write_text("[" * 10_000),
    "not finite": lambda path: path.write_text('{"spec": NaN}'),
}

MISFILED = {
    "another run's record": ("record", "cfm-moons-1"),
    "another model's record": ("record", "wcfm-moons-0"),
    "another run's weights": ("weights", "cfm-moons-1"),
    "another model's weights": ("weights", "wcfm-moons-0"),
    "another run's samples": ("samples", "cfm-moons-1"),
}

STRAY: dict[str, Callable[[Path], object]] = {
    "file among runs": lambda r: (r / "runs/notes.txt").write_text("hello"),
    "empty folder among runs": lambda r: (r / "runs/cfm-moons-7-000000000000").mkdir(),
    "folder of an odd name": lambda r: (r / "runs/\u00e9 \U0001f600").mkdir(),
    "folder of hidden files": lambda r: shutil.copytree(sorted((r / "runs").iterdir())[0], r / "runs/.hidden"),
    "link to a run": lambda r: (r / "runs/link").symlink_to(sorted((r / "runs").iterdir())[0].name),
    "link to the root": lambda r: (r / "runs/root").symlink_to("/"),
    "link to the folder above": lambda r: (r / "runs/up").symlink_to(".."),
    "file among leases": lambda r: ((r / "leases").mkdir(exist_ok=True), (r / "leases/x").write_text("x")),
    "folder among leases": lambda r: (r / "leases/x/y").mkdir(parents=True),
    "leases are a file": lambda r: (r / "leases").write_text("x"),
    "cache is a file": lambda r: (r / "cache").write_text("x"),
    "temporary files": lambda r: (sorted((r / "runs").iterdir())[0] / ".record.json.abc.tmp").write_text("x"),
    "copy of a folder": lambda r: shutil.copytree(sorted((r / "runs").iterdir())[0], r / "runs/copy of a run"),
    "FIFO among runs": lambda r: os.mkfifo(r / "runs/fifo"),
}


def _healed(pristine: bytes) -> Callable[[Path, Outcome], str | None]:
    def check(folder: Path, outcome: Outcome) -> str | None:
        table = folder / "r/tiny/table.csv"
        return None if table.is_file() and table.read_bytes() == pristine else "the table is not that of sound files"

    return check


def cases(finished: Path) -> Iterator[Case]:
    """Yield cases of results folders.

    Args:
        finished: the folder of a finished sweep, of which each case has a copy.
    """
    run = sorted((finished / "r/runs").glob("cfm-moons-0-*"))[0].name
    table = (finished / "r/tiny/table.csv").read_bytes()

    def case(name: str, command: str, files: Callable[[Path], None], *, damaged: bool = False) -> Case:
        arguments = tuple(argument.replace("{run}", f"r/runs/{run}") for argument in COMMANDS[command])
        expect = CLEAN_END
        if command == "sweep":
            expect = frozenset({"done"})
        elif command == "verify" and damaged:
            expect = frozenset({"failed"})
        check = _healed(table) if command == "sweep" else None
        return Case(f"results/{command}, {name}", arguments, expect, files, sweep=True, check=check)

    for number, (kind, (what, damage)) in enumerate((k, d) for k in FILES for d in DAMAGE.items()):
        # Each damage meets a third of the commands; sweep always, which must make good what is lost.
        others = [command for command in COMMANDS if command != "sweep"]
        for command in ["sweep", *others[number % 3 :: 3]]:
            damaged = kind in ("record", "weights") and what not in ("absent",)
            yield case(
                f"{kind}, {what}",
                command,
                lambda folder, kind=kind, damage=damage: damage(_at(folder, kind)) and None,
                damaged=damaged,
            )
    for what, (kind, other) in MISFILED.items():
        for command in COMMANDS:

            def misfile(folder: Path, kind: str = kind, other: str = other) -> None:
                target = _at(folder, kind)
                target.write_bytes(_other(folder, kind, other).read_bytes())

            yield case(f"{what} in this folder", command, misfile, damaged=kind != "samples")
    for what, make in STRAY.items():
        for command in ("status", "sweep", "report", "verify", "merge", "clean"):
            found = case(f"stray {what}", command, lambda folder, make=make: make(folder / "r") and None)
            # The file may be somebody's: a command that has to write names it and stops.
            refused = command == "sweep" and what == "leases are a file"
            yield replace(found, expect=REFUSED, check=None) if refused else found
    for name, make in {
        "dangling link": lambda folder: (folder / "out").symlink_to("/nowhere/at/all"),
        "FIFO": lambda folder: os.mkfifo(folder / "out"),
        "link to itself": lambda folder: (folder / "out").symlink_to("out"),
        "file": lambda folder: (folder / "out").write_text("x"),
        "device": lambda folder: (folder / "out").symlink_to("/dev/null"),
        "proc": lambda folder: (folder / "out").symlink_to("/proc/self"),
    }.items():
        for command in (
            ("sweep", "tiny.toml", "--results", "out"),
            ("run", "--model", "cfm", "--dataset", "moons", "--set", "plan.steps=1", "--results", "out"),
            ("results", "status", "--results", "out"),
            ("report", "--results", "out"),
            ("results", "merge", "r", "--results", "out"),
            ("verify", "out"),
        ):
            expect = REFUSED | {"failed"}
            if ("status" in command or "verify" in command) and name == "proc":  # can be read, and holds no records
                expect |= {"done"}
            yield Case(
                f"results/{command[command[0] == 'results']}, results is a {name}",
                command,
                expect,
                lambda f, m=make: m(f) and None,
                True,
            )
