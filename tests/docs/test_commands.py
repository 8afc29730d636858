"""Every command in the documentation is understood by the parser that it is meant for."""

from pathlib import Path

import pytest

from runtime.errors import ConfigError
from tests.docs.checking import PROGRAMS, Wrong, check, check_span
from tests.docs.pages import IDS, PAGES, ROOT, Block, blocks, code_spans
from tests.docs.shell import BadShell, commands, is_shell

README = ROOT / "README.md"


def faults(block: Block) -> list[str]:
    try:
        if not is_shell(block, PROGRAMS):
            return []
        found = commands(block.text)
    except BadShell as error:
        return [str(error)]
    told = []
    for words in found:
        try:
            check(words)
        except (Wrong, ConfigError, SyntaxError) as error:
            told.append(f"{' '.join(words)}: {error}")
    return told


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_is_understood(page):
    assert [f"{block}: {each}" for block in blocks(page) for each in faults(block)] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_in_a_sentence_exists(page):
    told = []
    for line, text in code_spans(page):
        try:
            check_span(text)
        except Wrong as error:
            told.append(f"{page.name}:{line}: {text}: {error}")
    assert told == []


def block(text: str, language: str = "bash") -> Block:
    return Block(README, 1, language, text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("python -m train --confg x.yaml --data d --out o", "required: --config"),
        ("python -m train.evaluat --checkpoint c", "no module train.evaluat"),
        ("python -m train.xbd", "is no command"),
        ("python -m train --config train/configs/none.yaml --data d --out o", "no such file"),
        ("python -m train --config train/configs/w48.yaml --data d --out o optim.x=1", "optim.x"),
        ("torchrun --nproc-per-nod=4 -m train --config c --data d --out o", "torchrun"),
        ("torchrun --nproc-per-node=4 -m train --data d --out o", "required: --config"),
        ("make dmo", "not in the Makefile"),
        ("make demo DAT=x", "not in the Makefile"),
        ('pip install ".[rastr]"', "no extra rastr"),
        ("pytest benchmarks --engin DIR", "--engin"),
        ("pytest tests/runtme", "no such file"),
        ("pyhton -m train", "unknown program"),
        ("python -m calibration \\\n    --checkpoint c --dat d --out o", "--data"),
        ("for C in a b; do python -m train.widn --checkpoint $C; done", "train.widn"),
        ("python -m train.widen --checkpoint $NONE --width 48 --out o", "NONE"),
        ('python -m train.evaluate "c', "unexpected EOF"),
        ("python -c 'import'", "invalid syntax"),
    ],
)
def test_what_is_wrong_is_found(text, found):
    assert found in " ".join(faults(block(text)))


@pytest.mark.parametrize(
    "text",
    [
        "python -m train.evaluate --checkpoint runs/best.pt --data xbd > told.txt 2>&1 &",
        "OMP_NUM_THREADS=1 pytest -q tests/train -k 'not slow'  # some",
        "C=train/configs\npython -m train --config $C/w48.yaml --data xbd --out o && git status",
        "$ python -m train --help\nusage: whatever --it prints\n$ make \\\n>   test",
        "cd x; . .venv/bin/activate; .venv/bin/python -m venv y",
    ],
)
def test_what_is_right_is_let_be(text):
    assert faults(block(text)) == []


def test_output_without_a_language_is_no_command():
    assert faults(block("engine  score\nfp32    0.8\n", "")) == []
    assert "unknown program" in faults(block("pyhton -m train --help\n", ""))[0]


def test_indented_blocks_and_those_of_lists_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "One\n\n    make demo\n\n- two\n\n      make test\n\n  ```bash\n  make x\n  ```\n"
        "\n<!-- run -->\n```python\n1\n```\n"
    )
    found = [(each.language, each.text, each.run) for each in blocks(page)]
    assert found == [
        ("", "make demo\n", False),
        ("", "make test\n", False),
        ("bash", "make x\n", False),
        ("python", "1\n", True),
    ]


@pytest.mark.parametrize("text", ["python -m train.evaluat", "python -m train.widen --widht 48"])
def test_a_wrong_command_in_a_sentence_is_found(text):
    with pytest.raises(Wrong):
        check_span(text)


def test_the_readme_has_commands():
    assert sum(is_shell(each, PROGRAMS) for each in blocks(README)) >= 3
    assert Path(README).is_file()
