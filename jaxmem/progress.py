"""One progress bar for everything that takes longer than two seconds: done, rate, time left, failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Cases per second since the start, compilation included."""
        seconds = task.finished_time if task.finished else task.elapsed
        return Text(f"{task.completed / seconds:.1f}/s" if seconds and task.completed else "-/s")


class Bar:
    """Counts solved cases; ``say`` names what is being done."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._failed = progress, 0
        self._task = progress.add_task("", total=total, failed=0)

    def say(self, what: str) -> None:
        """What is under way."""
        self._progress.update(self._task, description=what)

    def add(self, result: Any) -> None:
        """A Result that is done: its lanes, and those of them that failed."""
        self._failed += int(result.status.size - result.ok.sum())
        self._progress.update(self._task, advance=result.status.size, failed=self._failed)

    def lanes(self, count: int, failed: int) -> None:
        """So many lanes are done."""
        self._failed += failed
        self._progress.update(self._task, advance=count, failed=self._failed)

    def skip(self, count: int) -> None:
        """So many were done before."""
        self._progress.update(self._task, completed=count)

    def step(self, failed: bool = False) -> None:
        """One piece of work that is no Result is done."""
        self._failed += int(failed)
        self._progress.update(self._task, advance=1, failed=self._failed)


@contextmanager
def bar(console: Any, total: int) -> Iterator[Bar]:
    """``with bar(console, total=100) as b: b.say("compiling"); b.add(result)``; prints within the block stay above it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, total)
