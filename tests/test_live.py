"""What a terminal shows of runs in progress."""

import io

from rich.console import Console

from genbench.cells import News
from genbench.live import Live
from genbench.report.terminal import print_rows


def test_brackets_in_labels_and_reasons_are_no_markup():
    label = "starflow order=[flip,identity] on digits"
    out = io.StringIO()
    console = Console(file=out, width=200)
    with Live([label], console) as live:
        live.watch()(10, 10, {})
        live.tell(News(0, "failed", reason="a [bold] reason"))
    print_rows([], label, console)
    assert out.getvalue().count("order=[flip,identity]") == 3
    assert "a [bold] reason" in out.getvalue()
