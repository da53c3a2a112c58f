"""LaTeX: escaped and balanced."""

import re

from reports import comparison_table, refusal, three_seeds

from genbench.report.formats import latex


def test_latex_is_escaped_and_balanced():
    rows = [*three_seeds(**{"w_cfm & 50%": [1, 2, 3]}), *(refusal("flow", s, "d > 1 & x_1 #") for s in range(3))]
    text = latex.table(comparison_table(rows))
    assert r"w\_cfm \& 50\%" in text
    assert r"d \textgreater{} 1 \& x\_1 \#" in text
    assert r"w2 $\downarrow$" in text
    assert not re.search(r"(?<!\\)[%#]", text)
    assert not re.search(r"[^\x00-\x7f]", text)
    for kind in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{kind}}}") == text.count(rf"\end{{{kind}}}") >= 1
    assert text.count("{") == text.count("}")
    columns = len(re.search(r"\\begin\{tabular\}\{(l+r+)\}", text)[1])
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    for line in body.splitlines():
        if line.endswith(r"\\"):
            assert len(re.split(r"(?<!\\)&", line)) == columns
