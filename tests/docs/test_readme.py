"""Every Python block of the README runs, in order, in one namespace; blocks assert their own numbers."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
    assert len(blocks) >= 3
    assert sum("assert" in block for block in blocks) >= 3
    space: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), space)


def test_both_commands_make_their_own_environment() -> None:
    for marker in ("main-command", "test-command"):
        command = README.split(f"<!-- {marker} -->")[1].split("```")[1]
        assert "python3 -m venv .venv" in command
