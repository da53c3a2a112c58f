"""The campaign: every case in its own folder, its outcome against what it may be.

PYTHONPATH=tests python -m campaign.main [--only TEXT] [--list FILE] [--every N --first I]
"""

import argparse
import collections
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from campaign import archives, arrays, damage, extremes, images, names, results, submissions, suites, surroundings
from campaign.harness import Case, Outcome, judge, run

TINY = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = 0.5}]
metrics = ["sliced_w2", "nfe"]
seeds = [0, 1]
plan = {steps = 10, batch_size = 16}
evaluation = {n = 64, curve = [1]}
"""


def prepare(folder: Path) -> Path:
    """Import what commands import, so that forks have it; make a finished sweep in the folder and return it."""
    import torch

    import genbench.cli.main
    import genbench.report.publish
    import genbench.sweeps.executors  # noqa: F401

    torch.set_num_threads(1)
    os.environ["GENBENCH_OFFLINE"] = "1"
    os.environ.setdefault("GENBENCH_HOME", str(folder / "home"))
    finished = folder / "finished"
    finished.mkdir(parents=True)
    (finished / "tiny.toml").write_text(TINY)
    outcome = run(Case("sweep", ("sweep", "tiny.toml", "--results", "r")), finished)
    assert outcome.ending == "done", outcome.stderr
    for name in (".stdout", ".stderr"):
        (finished / name).unlink()
    damage.prepare(folder / "kept")
    submissions.prepare(folder / "submitted")
    return finished


def cases(finished: Path) -> Iterator[Case]:
    """Yield all cases."""
    for module in (names, extremes, suites, arrays, images, archives, surroundings):
        yield from module.cases()
    yield from results.cases(finished)
    yield from damage.cases(finished.with_name("kept"))
    yield from submissions.cases(finished.with_name("submitted"))


def meet(case: Case, folder: Path, finished: Path) -> tuple[str | None, Outcome]:
    """Run a case in a new folder; return what is wrong, if anything, and its outcome."""
    folder.mkdir()
    try:
        if case.sweep:
            shutil.copytree(finished, folder, dirs_exist_ok=True)
        if case.files is not None:
            case.files(folder)
        return judge(case, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run the campaign and print what is wrong, and how many cases ended in which way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--every", type=int, default=1, help="meet one case in so many")
    parser.add_argument("--first", type=int, default=0, help="index of the first of them")
    parser.add_argument("--list", type=Path)
    arguments = parser.parse_args()
    endings: collections.Counter[tuple[str, str]] = collections.Counter()
    faults = 0
    where = arguments.list or os.devnull
    with (
        tempfile.TemporaryDirectory(prefix="campaign-") as temporary,
        open(where, "w", errors="replace", buffering=1) as listed,
    ):
        root = Path(temporary)
        finished = prepare(root)
        every = [case for case in cases(finished) if arguments.only in case.name]
        assert len({case.name for case in every}) == len(every), "a case is there twice"
        chosen = every[arguments.first :: arguments.every]
        for number, case in enumerate(chosen):
            wrong, outcome = meet(case, root / str(number), finished)
            endings[case.name.partition("/")[0], outcome.ending] += 1
            said = f"{outcome.ending} in {outcome.seconds:.1f} s: {(outcome.stderr.splitlines() or [''])[-1][:300]}"
            print("WRONG" if wrong else "ok", case.name, wrong or "", said, sep="\t", file=listed)
            if wrong:
                faults += 1
                print(f"{case.name}: {wrong} ({said})", flush=True)
    for (group, ending), count in sorted(endings.items()):
        print(f"{group:12} {ending:30} {count}")
    print(f"{len(chosen)} of {len(every)} cases, {faults} wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
