"""The campaign: every case in its own folder, its outcome against what it may be.

PYTHONPATH=tests python -m campaign.main [--only TEXT] [--every N]
"""

import argparse
import collections
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from campaign import extremes, names, submissions, surroundings
from campaign.harness import Case, Outcome, judge, prepare


def cases(folder: Path) -> Iterator[Case]:
    """Yield all cases; those of submissions change one that is made in the folder."""
    for module in (names, extremes, surroundings):
        yield from module.cases()
    yield from submissions.cases(submissions.prepare(folder / "submissions"))


def meet(case: Case, folder: Path) -> tuple[str | None, Outcome]:
    """Run a case in a new folder; return what is wrong, if anything, and its outcome."""
    folder.mkdir()
    try:
        if case.base is not None:
            shutil.copytree(case.base, folder, dirs_exist_ok=True)
        if case.files is not None:
            case.files(folder)
        return judge(case, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run the campaign and print what is wrong, and how many cases ended in which way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="a part of the names of the cases that are met")
    parser.add_argument("--every", type=int, default=1, help="meet one case in so many")
    arguments = parser.parse_args()
    endings: collections.Counter[tuple[str, str]] = collections.Counter()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="campaign-") as temporary:
        root = Path(temporary)
        prepare(root / "home")
        every = [case for case in cases(root) if arguments.only in case.name]
        assert len({case.name for case in every}) == len(every), "a case is there twice"
        chosen = every[:: arguments.every]
        for number, case in enumerate(chosen):
            wrong, outcome = meet(case, root / str(number))
            endings[case.name.partition("/")[0], outcome.ending] += 1
            if wrong:
                faults += 1
                last = (outcome.stderr.splitlines() or [""])[-1][:300]
                print(f"{case.name}: {wrong} ({outcome.ending} in {outcome.seconds:.1f} s: {last})", flush=True)
    for (group, ending), count in sorted(endings.items()):
        print(f"{group:12} {ending:30} {count}")
    print(f"{len(chosen)} of {len(every)} cases, {faults} wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
