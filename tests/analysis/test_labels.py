"""Labels: texts of others do no harm, and shared settings are told apart from others."""

import pytest

from genbench.analysis.labels import guarded, plain, shared_words, slug


def test_plain_text_has_no_escapes_and_names_of_files_have_plain_letters_only():
    for text in ("\x1b[2J", "\x1b]0;x\x07", "\x1b]8;;http://x\x1b\\", "\x9b31m", "\x1bc", "\r\n\b\a\0"):
        assert plain(f"a{text}b").replace(" ", "") == "ab"
    assert plain("κ=½ 中文 Łódź 😀") == "κ=½ 中文 Łódź 😀"
    assert slug("../../etc/passwd <b> 中 A") == "etc-passwd-b-a"
    assert slug("中文") == ""


@pytest.mark.parametrize(
    "text", ["=1+1", "+x", "-x", "@x", " =1", "\tx", "a\n=1", "-", "", "cfm kappa=0.5", "'=1", "''=1"]
)
def test_guarded_text_is_no_formula(text):
    assert guarded(text)[:1] not in ("=", "+", "@")
    assert guarded(text).removeprefix("'") == text.removeprefix("'")


def test_what_all_labels_share_leaves_what_tells_them_apart():
    labels = [
        "cfm net=unet(channels=[1,2],blocks=pair(a=1,b=2)) steps=9",
        "wcfm kappa=2 net=unet(channels=[1,2],blocks=pair(a=1,b=2))",
    ]
    shared, short = shared_words(labels)
    assert shared == "net=unet(channels=[1,2],blocks=pair(a=1,b=2))"
    assert list(short.values()) == ["cfm steps=9", "wcfm kappa=2"]
    assert shared_words(["cfm sigma=1"]) == ("", {"cfm sigma=1": "cfm sigma=1"})
    titles = ["OT-CFM, N to 8gaussians", "I-CFM, N to 8gaussians"]
    assert list(shared_words(titles)[1].values()) == titles
