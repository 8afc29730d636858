"""``dual-hrnet NAME`` beside ``python -m``: the same help, errors and exit codes."""

import argparse
import ast
import importlib
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import cli, console
from runtime.console import COMMANDS

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("runtime", "train", "calibration", "export", "benchmarks")
HEAVY = {
    *("numpy", "cv2", "onnxruntime", "openvino", "torch", "onnx", "ray", "rasterio", "shapely"),
    *("pydantic", "yaml", "tqdm", "matplotlib", "jinja2", "pytest", "albumentations"),
}


@pytest.fixture
def dual_hrnet(python):
    """The command in its own process."""

    def run(*arguments, **options):
        return python("-m", "runtime.console", *arguments, **options)

    return run


def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def sources(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if each.help is not argparse.SUPPRESS]


def test_every_command_has_a_name():
    found = set()
    for path in (path for package in PACKAGES for path in sources(package)):
        functions = {each.name for each in tree(path).body if isinstance(each, ast.FunctionDef)}
        if {"parser", "main"} <= functions:
            found.add(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    assert found - {"runtime.console"} == set(COMMANDS.values())


def test_the_installed_script_is_this_one():
    tomllib = pytest.importorskip("tomllib")
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    (point,) = (importlib.metadata.EntryPoint(*each, "console_scripts") for each in scripts.items())
    assert point.name == "dual-hrnet"
    assert point.load() is console.main


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_overview_names_every_command_and_loads_none(python, arguments):
    code = f"""
import sys
from runtime.console import main
try:
    main({arguments})
except SystemExit as end:
    from runtime.console import COMMANDS
    print("loaded", sorted(({HEAVY} | set(COMMANDS.values())) & set(sys.modules)), end.code)
"""
    lines = python("-c", code).stdout.splitlines()
    assert lines[-1] == "loaded [] 0"
    for name in COMMANDS:
        assert any(re.fullmatch(rf"  {name} +\S.*", line) for line in lines)
    assert all(len(line) < 100 for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_line_of_the_module(name):
    first, *rest = (importlib.import_module(COMMANDS[name]).__doc__ or "").splitlines()
    assert console.summary(COMMANDS[name]) + "." == first
    assert not rest or rest[0] == ""


def test_the_version(dual_hrnet):
    version = importlib.metadata.version("dual-hrnet-edge")
    assert dual_hrnet("--version").stdout == f"dual-hrnet-edge {version}\n"


def test_without_an_install_the_checkout_is_named(python, tmp_path):
    (tmp_path / "runtime").symlink_to(REPOSITORY / "runtime")
    code = f"import sys; sys.path[0] = {str(tmp_path)!r}; import runtime.console as c"
    result = python("-S", "-c", f"{code}; c.main(['--version'])", env={})
    assert result.stdout == (
        f"dual-hrnet-edge, version unknown: not installed, run from {tmp_path}\n"
    )
    overview = python("-S", "-c", f"{code}; c.main([])", env={})
    assert "  predict " in overview.stdout
    assert "  train\n" in re.sub(r" +\n", "\n", overview.stdout)  # a package that is not there


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("predct", "'predct'; the nearest is predict; see dual-hrnet --help"),
        ("build_engine", "'build_engine'; the nearest is build-engine; see dual-hrnet --help"),
        ("qqq", "'qqq'; see dual-hrnet --help"),
    ],
)
def test_an_unknown_name_is_one_line(dual_hrnet, name, line):
    result = dual_hrnet(name, "--help")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == f"error: dual-hrnet has no command {line}\n"


def test_the_help_of_every_command_loads_nothing_heavy(python):
    code = f"""
import sys
from runtime.console import COMMANDS, main
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit as end:
        print("end", name, end.code, sorted({HEAVY} & set(sys.modules)))
"""
    result = python("-c", code)
    assert result.stderr == ""
    ends = [line for line in result.stdout.splitlines() if line.startswith("end ")]
    assert ends == [f"end {name} 0 []" for name in COMMANDS]
    usages = re.findall(r"^usage: (dual-hrnet \S+)", result.stdout, re.MULTILINE)
    assert usages == [f"dual-hrnet {name}" for name in COMMANDS]


def test_the_help_of_every_module_names_python(python):
    code = f"""
import runpy, sys
sys.argv = ["", "--help"]
for module in {list(COMMANDS.values())}:
    try:
        runpy.run_module(module.removesuffix(".__main__"), run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print("end", end.code)
"""
    result = python("-W", "ignore", "-c", code)
    assert result.stderr == ""
    assert result.stdout.count("end 0") == len(COMMANDS)
    usages = re.findall(r"^usage: (python -m \S+)", result.stdout, re.MULTILINE)
    modules = [module.removesuffix(".__main__") for module in COMMANDS.values()]
    assert usages == [f"python -m {module}" for module in modules]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_and_its_default(name):
    parser = console.parser_of(console.load(name), name)
    assert "``" not in parser.format_help()
    for action in options_of(parser):
        where = action.option_strings or action.dest
        assert action.help, where
        if action.nargs != 0 and action.choices is None:
            assert action.metavar, f"{where}: no metavar"
        if action.nargs != 0 and action.default not in (None, [], argparse.SUPPRESS):
            assert "(default: " in action.help, f"{where}: no default"
            shown = re.search(r"\(default: (.*)\)", action.help)[1]
            if isinstance(action.default, (int, float)):
                assert float(shown.split()[0]) == action.default, where


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("predict", []),
        ("predict", ["--engine"]),
        ("predict", ["--engine", "none", "a.png", "b.png"]),
        ("predict", ["--engine", "none", "a.png", "b.png", "--min-area", "0"]),
        ("batch", ["--engine", "none", "--pairs", "none.csv", "--out", "none"]),
        ("plan-report", ["none"]),
        ("compare", ["none.json", "pyproject.toml"]),
        ("train", ["--config", "none", "--data", "none"]),
    ],
)
def test_an_error_is_the_same_both_ways(python, dual_hrnet, name, arguments):
    theirs = python("-m", COMMANDS[name].removesuffix(".__main__"), *arguments)
    ours = dual_hrnet(name, *arguments)
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode, theirs.stdout, theirs.stderr,
    )  # fmt: skip
    assert ours.returncode in (1, 2)
    assert re.fullmatch(r"error: .*\n", ours.stderr)


@pytest.mark.parametrize(
    ("name", "arguments", "library", "install"),
    [
        ("predict", "--engine e a.png b.png", "numpy", "pip install dual-hrnet-edge"),
        ("train", "--config train/configs/demo.yaml --data x --out x", "torch",
         'pip install "dual-hrnet-edge[train]"'),
        ("train", "--config train/configs/demo.yaml --data x --out x", "pydantic",
         'pip install "dual-hrnet-edge[train]"'),
        ("to-onnx", "--out x.onnx --checkpoint x", "torch",
         'pip install "dual-hrnet-edge[export]"'),
        ("plausible", "--out x.pt", "torch", 'pip install "dual-hrnet-edge[bench]"'),
        ("seams", "--engine x --whole x", "rasterio", 'pip install "dual-hrnet-edge[raster]"'),
    ],
)  # fmt: skip
def test_a_missing_library_is_one_line_that_names_the_extra(
    python, blocked, name, arguments, library, install
):
    module = COMMANDS[name].removesuffix(".__main__")
    start = f"{blocked(library)}\nimport runpy\nsys.argv[1:] = "
    for way in (
        f"{arguments.split()}\nrunpy.run_module({module!r}, run_name='__main__', alter_sys=True)",
        f"{[name, *arguments.split()]}\nfrom runtime.console import main\nmain()",
    ):
        result = python("-c", start + way)
        assert result.returncode == 1
        assert result.stderr == (
            f"error: {library} is not installed, this command needs it; {install}\n"
        )


@pytest.mark.parametrize(("name", "package"), [("train", "train"), ("build-engine", "export")])
def test_a_missing_package_is_one_line(python, blocked, name, package):
    result = python("-c", f"{blocked(package)}\nimport runtime.console as c\nc.main(['{name}'])")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: {package} is not installed, this command needs it; "
        f'pip install "dual-hrnet-edge[{package}]"\n'
    )


def test_a_module_that_a_package_should_have_is_a_fault_of_ours():
    error = ModuleNotFoundError("No module named 'train.nothing'", name="train.nothing")
    with pytest.raises(ModuleNotFoundError):
        cli.end(error, "train")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_extra_that_is_named_has_the_library(package):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    def distributions(extra: str | None) -> set[str]:
        given = project["optional-dependencies"][extra] if extra else []
        found = {re.split(r"[<>=;\[ ]", each)[0] for each in (*given, *project["dependencies"])}
        for each in given:
            for more in re.findall(r"^dual-hrnet-edge\[(.*)\]", each):
                found |= {name for extra in more.split(",") for name in distributions(extra)}
        return found

    names = importlib.metadata.packages_distributions()
    for path in sources(package):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [each.name for each in node.names]
            else:
                continue
            for library in {each.partition(".")[0] for each in modules} - {"cuda", "pycuda"}:
                if library in sys.stdlib_module_names or library in PACKAGES:
                    continue
                if library not in names:
                    continue  # not installed here
                extra = cli.extra_of(library, package)
                wanted = {re.sub("[._]", "-", each).lower() for each in names[library]}
                assert wanted & distributions(extra), f"{path}: {library} is not in {extra}"


def test_a_reader_of_the_help_that_leaves_is_no_traceback(python):
    for arguments in (["--help"], ["predict", "--help"], ["completion", "bash"]):
        code = f"""
import os, sys
from runtime.console import main
read, write = os.pipe()
os.dup2(write, 1)
os.close(read)
main({arguments})
"""
        result = python("-c", code)
        assert result.stderr == "", arguments
        assert result.returncode in (0, 1)  # argparse says nothing of a closed pipe


@pytest.mark.parametrize("start", [["runtime.console", "compare"], ["benchmarks.compare"]])
def test_ctrl_c_is_one_line_and_130(tmp_path, start):
    pipe = tmp_path / "run.json"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", *start, pipe, pipe], cwd=REPOSITORY, stderr=subprocess.PIPE
    )
    with pipe.open("w"):  # it is reading now, and waits
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, b"error: interrupted\n")
