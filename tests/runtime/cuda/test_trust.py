"""A plan, and the kernels kept beside it, come from whom they should, or are not used."""

from __future__ import annotations

COMPILED = """
with load_engine(FOLDER) as engine:
    engine.predict(image(), image())
    print(len(tensorrt_double.compiled), engine.cached_compile)
"""


def test_kernels_kept_where_others_can_write_are_not_used(make_plan, on_host, tmp_path):
    folder = make_plan("tensorrt-rtx")

    def start() -> tuple[str, str]:
        done = on_host(folder, COMPILED)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr

    assert [start()[0] for _ in range(2)] == ["1 False", "0 True"]
    (cache,) = (tmp_path / "cache").rglob("*.bin")
    for kept in (cache.parent, cache):
        assert kept.stat().st_mode & 0o077 == 0
    cache.parent.chmod(0o777)
    printed, said = start()
    assert printed == "1 False"
    assert said.startswith(f"{cache.parent}: can be written by others")


def test_tensorrt_itself_keeps_nothing(make_plan, passes):
    assert passes(make_plan(), COMPILED).split()[1] == "None"


def test_a_plan_changed_after_the_folder_was_checked_is_not_loaded(make_plan, passes):
    code = """
from runtime.backends import tensorrt
from runtime.errors import AlteredPayloadError
fitting = tensorrt.fitting_gpus

def changed(manifest, folder, number):
    path = folder / "engine.plan"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return fitting(manifest, folder, number)

tensorrt.fitting_gpus = changed
try:
    load_engine(FOLDER).close()
except AlteredPayloadError as error:
    print(error)
"""
    folder = make_plan()
    assert f"{folder / 'engine.plan'}: its sha256" in passes(folder, code)
