"""Markdown: aligned, within its width, with legend."""

import re

from helpers.reports import comparison_table, refusal, three_seeds, wide_table

from genbench.report.blocks import List, Report, Section
from genbench.report.formats import markdown


def test_markdown_is_aligned_and_within_its_width():
    text = markdown.table(wide_table(), width=100)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 100
    blocks = text.split("\n\n")[1:-1]
    assert len(blocks) > 1
    for block in blocks:
        assert len({len(line) for line in block.splitlines()}) == 1  # every line of a panel is as long
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    shown = re.findall(r"\| model +\|(.*)\|\n", text)
    titles = [title.strip() for line in shown for title in line.split("|")]
    assert titles == [f"{c.title} ↓" for c in wide_table().columns]  # every column once, in order


def test_markdown_explains_its_marks():
    text = markdown.table(comparison_table(three_seeds(a=[1.0, 2.0, 3.0], b=[1.2, 1.7, 3.4], c=[9.0, 10.1, 11.0])))
    assert "| *2.0 ± 2.5* |" in text
    assert "| *2.1 ± 2.9* |" in text
    assert "- *Tie*: the best mean of the column, or not significantly different from it." in text
    assert "- Marks: paired t test, Holm's correction within a column, 5 %." in text
    text = markdown.table(comparison_table(three_seeds(a=[1.0, 1.1, 1.2], c=[9.0, 9.12, 9.21])))
    assert "| **1.10 ± 0.25** |" in text
    assert "- **Best**: better than every other model of the column." in text
    assert "Tie" not in text


def test_texts_of_others_are_no_markup():
    evil = "<script>a</script><img src=x>![i](http://x)[l](http://y)[r][s]\x1b]0;t\x07\u202e\n# H\n`c`\\|"
    table = comparison_table([*three_seeds(**{evil: [1.0, 2.0, 3.0]}), *(refusal("cfm", s, evil) for s in range(3))])
    blocks = (evil, List(evil, (evil,)), table)
    text = markdown.document(Report("r", evil, (), (), (Section(evil, blocks),)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]|^# H", text, re.MULTILINE)
    bare = re.sub(r"\\.", "", text.replace(f"](#{markdown._anchor(evil)})", ""))
    assert not re.search(r"[<`]|!\[|\]\[|\]\(http", bare)
    assert "<" not in bare
