"""LaTeX: escaped and balanced; it compiles whatever labels say."""

import re
import shutil
import subprocess

import pytest
from helpers.reports import comparison_table, refusal, three_seeds

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


HOSTILE = "naïve Ångström κ=½ λ→∞ 中文 \\input{x} $x^2$ {a_b} #1 100% & ~ ^ < > \x1b[31mred 😀 Łódź ﬁ"


def test_characters_that_latex_lacks_are_written_in_ascii():
    text = latex.table(comparison_table(three_seeds(**{HOSTILE: [1, 2, 3], "b": [2, 3, 4]})))
    assert not re.search(r"[^\x20-\x7e\n]", text)
    assert r"na\"{i}ve \r{A}ngstr\"{o}m $\kappa$=" in text
    assert r"\texttt{U+4E2D}\texttt{U+6587}" in text
    assert r"\textbackslash{}input\{x\}" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex (texlive-latex-base and -recommended)")
def test_it_compiles(tmp_path):
    rows = [*three_seeds(**{HOSTILE: [1, 2, 3]}), *(refusal("flow", s, HOSTILE) for s in range(3))]
    table = latex.table(comparison_table(rows))
    source = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{table}\end{{document}}"
    (tmp_path / "t.tex").write_text(source)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000
