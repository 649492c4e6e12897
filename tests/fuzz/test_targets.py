"""Each target of the byte fuzzer holds for its seeds and for some thousand changes of them, without atheris too."""

import base64
import importlib.util
from pathlib import Path

import pytest
from tests.fuzz.targets import NAMES, __main__
from tests.fuzz.targets.mutation import inputs
from tests.fuzz.targets.target import named

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="needs atheris, which there is for Linux on x86-64 alone"
)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_target_says_holds_for_changed_seeds(name: str) -> None:
    target = named(name)
    tried = list(inputs(target, target.quick_runs))
    for data in tried:
        try:
            target.check(data)
        except Exception as error:
            again = f"python -m tests.fuzz.targets {name} --input {base64.b64encode(data).decode() or '='}"
            raise AssertionError(again) from error
    assert target.name == name
    assert len(set(tried)) > target.quick_runs / 2


def test_every_target_is_run() -> None:
    folder = Path(__main__.__file__).parent
    with_target = {path.stem for path in folder.glob("*.py") if "\nTARGET = " in path.read_text(encoding="utf-8")}
    assert with_target == {*NAMES, "planted"}


def test_the_same_seed_makes_the_same_inputs() -> None:
    target = named("bodies")
    assert list(inputs(target, 200, seed=3)) == list(inputs(target, 200, seed=3))
    assert list(inputs(target, 200, seed=3)) != list(inputs(target, 200, seed=4))


def test_one_input_can_be_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["planted", "--input", base64.b64encode(b"seed").decode()]) == 0
    assert capsys.readouterr().out == "This input does no harm.\n"
    assert __main__.main(["planted", "--input", base64.b64encode(b"\x7a\x0d\xe2!").decode()]) == 1
    assert "This is the planted fault." in capsys.readouterr().out


@needs_atheris
def test_atheris_comes_upon_a_fault_and_says_how_to_see_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["planted", "--seconds", "60", "--corpus", str(tmp_path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "ZeroDivisionError: This is the planted fault." in printed
    [again] = [line for line in printed if line.startswith("Again: python -m tests.fuzz.targets planted --input ")]
    assert base64.b64decode(again.rpartition(" ")[2]).startswith(b"\x7a\x0d\xe2")
    assert printed[-1].endswith(": FAILED in 1 of 1")
