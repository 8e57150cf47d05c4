"""Every Python block of the README runs, in order, in one namespace; blocks assert their own numbers."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(tmp_path: Path) -> None:
    """As a newcomer runs them, in a process of its own, without the tests' checks of types."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
    assert len(blocks) >= 3
    assert sum("assert" in block for block in blocks) >= 3
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    settings = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-W", "ignore:Unable to import Axes3D", script],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_both_commands_make_their_own_environment() -> None:
    for marker in ("main-command", "test-command"):
        command = README.split(f"<!-- {marker} -->")[1].split("```")[1]
        assert "python3 -m venv .venv" in command
