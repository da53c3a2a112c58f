"""The leaderboard as text of at most 42 lines and 80 columns, and as files that other programs read."""

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from genbench.analysis.dataset_board import NEAR, OTHER_BUDGET, OTHER_SEEDS, Board, Entry
from genbench.analysis.labels import counted, distinct, plain
from genbench.analysis.leaderboard import Leaderboard
from genbench.analysis.means import LEVEL, format_mean, mean_and_half
from genbench.analysis.values import group_by
from genbench.errors import ConfigError
from genbench.report.formats.writers import ARROWS, csv
from genbench.storage import files

LINES, WIDTH = 42, 80
SIGNS = {OTHER_BUDGET: "†", OTHER_SEEDS: "‡"}
FLOOR = "floor"
MAX_DATA, MAX_METHOD = 20, 25
"""Characters of a label."""
MAX_METHODS = 12
MAX_FAILED = 6
"""Models with failed runs that are named."""


def lines(ranking: Leaderboard, most: int = LINES) -> list[str]:
    """Return the leaderboard as lines: standings, then panels of data sets as long as there is room, then notes."""
    if not ranking.boards:
        return _submitted(ranking)
    boards = compared(ranking)
    alone = [board for board in ranking.boards if board not in boards]
    head, body, shown = _standings(ranking), [], 0
    while shown < len(boards):
        panel, fitting = _panel(ranking, boards[shown:])
        below = _below(ranking, boards[: shown + fitting], [*boards[shown + fitting :], *alone])
        if body and len(head) + len(body) + len(panel) + len(below) > most:
            break
        body += panel
        shown += fitting
    return [*head, *body, *_below(ranking, boards[:shown], [*boards[shown:], *alone])][:most]


def document(ranking: Leaderboard) -> str:
    """Return the leaderboard as CSV, one row for each method and data set, in full precision."""
    import pandas as pd

    return csv(pd.DataFrame(ranking.rows()))


def export(ranking: Leaderboard, path: Path) -> list[Path]:
    """Write the leaderboard in the format of the suffix, and return the files.

    .yaml writes one file for each method, NAME-METHOD.yaml, which belongs into the folder .eval_results of that model's
    repository on the hub (https://huggingface.co/docs/hub/eval-results).

    Raises:
        ConfigError: on another suffix, or where pyarrow is missing.
    """
    import pandas as pd

    if path.suffix == ".csv":
        files.write(path, document(ranking))
        return [path]
    if path.suffix == ".parquet":
        try:
            files.replace(path, lambda temporary: pd.DataFrame(ranking.rows()).to_parquet(temporary))
        except ImportError as error:
            raise ConfigError("writing Parquet needs pyarrow: pip install 'genbench[parquet]'") from error
        return [path]
    if path.suffix != ".yaml":
        raise ConfigError(f"--export {path}: the name ends with .csv, .parquet or .yaml")
    rows = [row for row in ranking.rows() if row["mean"] is not None]
    entries = group_by(rows, lambda row: re.sub(r"[^\w.-]", "_", row["method"]))
    written = {path.with_name(f"{path.stem}-{name}.yaml"): "".join(map(_entry, own)) for name, own in entries.items()}
    for target, text in written.items():
        files.write(target, text)
    return list(written)


def _entry(row: dict[str, Any]) -> str:
    """Return a YAML entry; JSON strings and numbers are YAML."""
    notes = f"{row['model']}: {format_mean(row['mean'], row['half_interval'])} (95 %), {row['seeds']} seeds; "
    notes += f"{row['steps']} steps of {row['batch_size']}; {row['protocol']}; measured by genbench"
    return (
        f"- dataset:\n    id: {json.dumps('genbench/' + row['data'])}\n    task_id: {json.dumps(row['metric'])}\n"
        f"  value: {json.dumps(row['mean'])}\n  notes: {json.dumps(notes)}\n"
    )


def floor_interval(board: Board) -> str:
    """Return the mean of the floor with half its 95 % interval."""
    return format_mean(*mean_and_half(board.floor.values()))


def heading(board: Board) -> str:
    """Return the metric of a board with its direction."""
    return f"{board.metric} {ARROWS[board.better]}"


def costs(ranking: Leaderboard, method: str) -> tuple[str, str]:
    """Return the NFE to quality of a method, and its seconds of training, over the data sets of the mean ranks."""
    entries = [board.ranked[method] for board in ranking.boards if board.data in ranking.over]
    known = [entry.nfe for entry in entries if entry.nfe is not None]
    ends = dict.fromkeys(f"{nfe:.0f}" for nfe in (min(known), max(known))) if known else ["-"]
    seconds = [entry.train_seconds for entry in entries]
    total = f"{sum(s for s in seconds if s is not None):.3g}" if None not in seconds else "-"
    return "-".join(ends), total


def methods(ranking: Leaderboard) -> list[str]:
    """Return all methods: by mean rank, then the others in the order of the boards."""
    others = (entry.method for board in ranking.boards for entry in board.entries)
    return list(dict.fromkeys([*(standing.method for standing in ranking.standings), *others]))


def names_of_data(ranking: Leaderboard) -> dict[str, str]:
    """Return {label: short label} of the data sets on which methods are compared; short ones are distinct."""
    return distinct((board.data for board in compared(ranking)), MAX_DATA)


def compared(ranking: Leaderboard) -> list[Board]:
    """Return the boards of more than one method, or all."""
    return [board for board in ranking.boards if len(board.entries) > 1] or list(ranking.boards)


def _standings(ranking: Leaderboard) -> list[str]:
    if not ranking.standings:
        return []
    head, names = ["method", "mean rank", "95 %", "group", "NFE", "training, s"], distinct(methods(ranking), MAX_METHOD)
    rows = []
    for standing in ranking.standings[:MAX_METHODS]:
        low, high = f"{standing.low:.2f}", f"{standing.high:.2f}"
        interval = f"{low}-{high}" if standing.low < standing.high else "-"  # the same in all seeds
        cells = [plain(names[standing.method]), f"{standing.mean:.2f}", interval, standing.letters]
        rows.append([*cells, *costs(ranking, standing.method)])
    if len(ranking.over) == 1:  # the ranks on one data set are those of its own column
        head, rows = [head[0], *head[4:]], [[row[0], *row[4:]] for row in rows]
    return [*_grid([head, *rows]), ""]


def _panel(ranking: Leaderboard, boards: Sequence[Board]) -> tuple[list[str], int]:
    """Return lines with as many boards side by side as fit, at least one, and their number."""
    data, short = names_of_data(ranking), distinct(methods(ranking), MAX_METHOD)
    panel: list[str] = []
    for fitting in range(1, len(boards) + 1):
        shown = boards[:fitting]
        names = [m for m in methods(ranking) if any(m == entry.method for board in shown for entry in board.entries)]
        rows = [["", *(plain(data[board.data]) for board in shown)], ["", *map(heading, shown)]]
        if any(board.floor for board in shown):
            rows.append([FLOOR, *(_short(floor_interval(board)) if board.floor else "" for board in shown)])
        for method in names[:MAX_METHODS]:
            entries = [next((e for e in board.entries if e.method == method), None) for board in shown]
            rows.append([plain(short[method]), *(_cell(entry) if entry else "" for entry in entries)])
        drawn = _grid(rows)
        if panel and max(map(len, drawn)) > WIDTH:
            return panel, fitting - 1
        panel = [*(line[:WIDTH] for line in drawn), ""]
    return panel, len(boards)


def _cell(entry: Entry) -> str:
    rank = "" if entry.rank is None else f"{entry.rank}"
    return f"{rank:>2} {_short(format_mean(entry.mean, entry.half))}{SIGNS.get(entry.mark, '')}"


def _short(text: str) -> str:
    return text.replace(" ± ", "±")


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns, two spaces apart; the first to the left, the others to the left of their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _below(ranking: Leaderboard, shown: Sequence[Board], hidden: Sequence[Board]) -> list[str]:
    """Return what a reader has to know, and where the rest is."""
    submitted = [*_submitted(ranking), ""] if ranking.submitted else []
    names = names_of_data(ranking)

    def listed(data: Iterable[str]) -> str:
        return ", ".join(plain(names[label]) for label in data)

    same = "rank or letter" if len(ranking.over) > 1 else "rank"
    notes = [f"Rank, mean±95 %; same {same}: no significant difference (Holm, {100 * LEVEL:g} %)."]
    if len(ranking.over) > 1:
        notes.append(f"Mean rank: over {listed(ranking.over)}.")
    if ranking.standings:
        notes.append(f"NFE: curve{curves(ranking)} within {100 * NEAR:g} % of its best; training: sum, load varied.")
    notes += [f"{unranked(shown)} {settings(ranking, shown)}".strip(), failed(ranking)]
    budgets = group_by(shown, budget)
    usual = max(budgets, key=lambda said: len(budgets[said]))
    others = [f"{said}: {listed(b.data for b in own)}." for said, own in budgets.items() if said != usual]
    notes.append(" ".join([*others, f"{'All others' if others else 'All'}: {usual}."]))
    if files := [board.data for board in shown if not board.original]:
        notes.append(f"Files, not published originals: {listed(files)}.")
    numbers = {"data set": (len(hidden), "--dataset"), "setting": (ranking.variants, "--variants")}
    numbers["method"] = (len(methods(ranking)) - MAX_METHODS, "--json")
    left = [f"{counted(n, f'other {noun}')} ({option})" for noun, (n, option) in numbers.items() if n > 0]
    notes.append(f"Not shown: {', '.join(left)}." if left else "")
    wrapped = (line for note in notes if note for line in textwrap.wrap(note, WIDTH, subsequent_indent="  "))
    return [*submitted, *wrapped]


def _submitted(ranking: Leaderboard) -> list[str]:
    """Return a line for each method of a submission on a data set: how many of its seeds were confirmed."""
    rows = [[plain(each.model), plain(each.data), str(each)] for each in ranking.submitted[:MAX_METHODS]]
    more = len(ranking.submitted) - MAX_METHODS
    return [*_grid(rows), *([f"{more} more submitted methods (--json)"] if more > 0 else [])]


def budget(board: Board) -> str:
    """Return budget and number of seeds of the methods that are ranked."""
    return f"{board.budget}, {counted(len(board.seeds), 'seed')}"


def curves(ranking: Leaderboard) -> str:
    """Return the metrics of the curves in brackets, where they are not those that methods are ranked by."""
    other = dict.fromkeys(b.curve for b in ranking.boards if b.data in ranking.over and b.curve not in ("", b.metric))
    return f" (of {', '.join(other)})" if other else ""


def unranked(boards: Sequence[Board]) -> str:
    """Return with which budgets or seeds the methods that are not ranked were run."""
    marked = group_by((entry for board in boards for entry in board.entries), lambda entry: entry.mark)
    texts = {mark: ", ".join(dict.fromkeys(map(_differing, own))) for mark, own in marked.items()}
    return " ".join(f"{sign} {texts[mark]}: not ranked." for mark, sign in SIGNS.items() if mark in texts)


def failed(ranking: Leaderboard) -> str:
    """Return which methods had failed runs; empty if none had."""
    named = [
        f"{plain(model)} on {plain(data)} ({number} of {counted(seeds, 'seed')})"
        for model, data, number, seeds in ranking.failed[:MAX_FAILED]
    ]
    if len(ranking.failed) > MAX_FAILED:
        named.append(f"{len(ranking.failed) - MAX_FAILED} more (--json)")
    return f"Failed: {', '.join(named)}." if named else ""


def settings(ranking: Leaderboard, shown: Sequence[Board]) -> str:
    """Return with which settings methods are shown, where they were run with several or where a setting decides."""
    data, of_method = names_of_data(ranking), {}
    for board in shown:
        for entry in board.entries:
            text = f"{entry.stated} {entry.label.removeprefix(entry.method)}".strip()
            of_method.setdefault(entry.method, {}).setdefault(text, []).append(data[board.data])
    said: dict[str, list[str]] = {}
    for method, texts in of_method.items():
        usual = max(texts, key=lambda text: len(texts[text]))
        others = [f"{', '.join(texts[text])}: {text or 'the defaults'}" for text in texts if text != usual]
        text = f"{usual or 'the defaults'} ({'; '.join(others)})" if others else usual
        said.setdefault(text, []).append(method)
    but = [f"; {', '.join(of)}: {plain(text)}" for text, of in said.items() if text]
    return f"Settings: the defaults{''.join(but)}." if but or ranking.variants else ""


def _differing(entry: Entry) -> str:
    return str(entry.budget) if entry.mark == OTHER_BUDGET else counted(len(entry.values), "seed")
