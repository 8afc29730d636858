"""The double of TensorRT offers what the real bindings offer, by the same names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HOST_CUDA = Path(__file__).parents[2] / "host_cuda"
SOURCE = ast.parse((HOST_CUDA / "tensorrt_double.py").read_text())
CLASSES = {node.name: node for node in SOURCE.body if isinstance(node, ast.ClassDef)}


def _names(constant: str) -> tuple[str, ...]:
    """A tuple of the double's, which cannot be imported where there is no driver."""
    (value,) = (
        node.value
        for node in SOURCE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant
    )
    return ast.literal_eval(value)


CASES = [("tensorrt_rtx", name) for name in _names("COMMON") + _names("RTX")] + [
    ("tensorrt_lean", name) for name in _names("COMMON")
]


@pytest.mark.parametrize(("library", "name"), CASES)
def test_every_name_is_the_real_ones(library: str, name: str) -> None:
    real = getattr(pytest.importorskip(library), name)
    double = CLASSES[name]
    for node in double.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            if library != "tensorrt_rtx" and node.name == "get_engine_validity":
                continue
            theirs = getattr(real, node.name)
            if isinstance(theirs, property):
                assert node.decorator_list, f"{name}.{node.name} is a property"
            else:
                ours = [each.arg for each in node.args.args][1:]
                assert ours in _parameters(theirs), f"{name}.{node.name}: {theirs.__doc__}"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for each in ast.walk(target):
                    if isinstance(each, ast.Name) and not each.id.startswith("_"):
                        assert hasattr(real, each.id) or each.id == "profile", each.id


def _parameters(method: object) -> list[list[str]]:
    """The parameter names of each overload, from the signature in a pybind11 docstring."""
    lines = re.findall(r"^(?:\d+\. )?\w+\((.*)\) -> ", method.__doc__ or "", re.MULTILINE)
    return [re.findall(r"(?:^|, )(\w+)(?=:)", line)[1:] for line in lines]
