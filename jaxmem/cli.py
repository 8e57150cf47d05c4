"""The ``jaxmem`` command: parses, calls the library, prints. Every mistake of the user is one message and exit code 2."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

try:
    import rich.console
    import rich.markup
    import typer
except ImportError:
    sys.exit("The jaxmem command needs typer and rich. Type: pip install 'jaxmem[all]'")

from ._errors import ConvergenceError, JaxmemError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Water, ions and current through membranes.",
)
console = rich.console.Console()
errors = rich.console.Console(stderr=True)

OUT = Annotated[Path, typer.Option(help="Folder for the figures.")]
DATA = Annotated[Path | None, typer.Option(help="A CSV of measured rejections, to draw on the same axes.")]


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="nf, ro, ec, or all for everything there is.")] = "all",
    data: DATA = None,
    out: OUT = Path("out"),
    full: Annotated[
        bool,
        typer.Option(
            help="The long versions: ec marches 512 numerical experiments here, nf trains ten seeds (an hour)."
        ),
    ] = False,
    experiments: Annotated[int, typer.Option(help="ec: march so many anew; 0 takes those of the package.", min=0)] = 0,
    mesh: Annotated[bool, typer.Option("--mesh", help="ro: finer meshes, and orders in three norms.")] = False,
) -> None:
    """Reproduce the seed papers: tables on screen, figures in a folder."""
    from ._errors import unknown
    from .reproduce import PAPERS

    if paper != "all" and paper not in PAPERS:
        raise unknown("Paper", paper, ("all", *PAPERS), "Type: jaxmem reproduce nf")
    count = 512 if full else experiments
    if (full and paper == "ro") or (experiments and paper not in ("ec", "all")):
        refuse(f"{paper} has no such version. Type: jaxmem reproduce ec --full")
    if mesh and paper not in ("ro", "all"):
        refuse(f"{paper} has no mesh study. Type: jaxmem reproduce ro --mesh")
    if 0 < count < 32:
        refuse(f"{count} experiments are too few to train on. Type: jaxmem reproduce ec --experiments 64")
    for name in PAPERS if paper == "all" else (paper,):
        longer = {"ec": {"experiments": count}, "nf": {"full": full}, "ro": {"mesh": mesh}}
        PAPERS[name](console, out, data, **longer[name])


@app.command()
def solve(
    case: Annotated[Path, typer.Argument(help="A TOML file with feed, membrane and conditions.")],
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.")] = None,
    netcdf: Annotated[Path | None, typer.Option(help="Write everything as netCDF.")] = None,
    png: Annotated[
        Path | None, typer.Option(help="Draw the rejection curve (or the profiles of a single point).")
    ] = None,
) -> None:
    """Solve a case file and print its table."""
    from .casefile import check_outputs, read, write
    from .tables import result_table

    question = read(case)
    check_outputs(csv=csv, netcdf=netcdf, png=png)
    with console.status(f"Solving {case.name} (the first solve of a shape compiles for about ten seconds)"):
        result = question.solve()
    console.print(result_table(result, title=rich.markup.escape(question.title)))
    if hasattr(result, "elements"):
        console.print(str(result), highlight=False)
    for line in write(result, csv=csv, netcdf=netcdf, png=png):
        console.print(line, highlight=False)
    if not bool(result.ok.all()):
        for text, count in result.messages().items():
            console.print(f"{count} x {text}", style="red")
        raise typer.Exit(1)


@app.command()
def fit(
    data: Annotated[
        Path,
        typer.Argument(help="A CSV of measured rejections, one row per value; with --case, one row per experiment."),
    ],
    case: Annotated[
        Path | None,
        typer.Option(help="A case file: fit what is free in it. Columns: what was set, what was measured, sigma_..."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="dspmde (also when left out) or sdem.")] = None,
    membrane: Annotated[
        str | None, typer.Option(help="The record to start from; the file's own when left out.")
    ] = None,
    free: Annotated[
        str | None,
        typer.Option(
            help="What may move: 'pore_radius=0.35..0.8 nm, charge_density'. Without bounds, a factor of ten."
        ),
    ] = None,
    starts: Annotated[int, typer.Option(help="Starting points, fitted in one batch.", min=1)] = 16,
    csv: Annotated[Path | None, typer.Option(help="Write the numbers as CSV.")] = None,
    page: Annotated[Path | None, typer.Option("--report", help="Write a report: .html with figures, or .json.")] = None,
) -> None:
    """Fit a membrane to measurements, and say what they cannot tell apart."""
    from .fitting import report

    report(console, data, case, model, membrane, free, starts, csv, page)


@app.command()
def sweep(
    case: Annotated[Path, typer.Argument(help="A TOML file with feed, membrane and conditions.")],
    store: Annotated[Path, typer.Option(help="Folder of the study; called again, the sweep goes on.")],
    free: Annotated[
        str,
        typer.Option(help="What varies: 'pore_radius=0.35..0.8 nm, charge_density'. Without bounds, a factor of ten."),
    ] = "",
    design: Annotated[str, typer.Option(help="sobol, lhs, random or grid.")] = "sobol",
    points: Annotated[str, typer.Option(help="How many; for a grid one number for each free one: 20x30.")] = "1024",
    seed: Annotated[int, typer.Option(help="Of the design.", min=0)] = 0,
    chunk: Annotated[int, typer.Option(help="Lanes solved and stored at a time.", min=1)] = 16_384,
    shard: Annotated[str | None, typer.Option(help="0/4: the first of four parts; Slurm arrays need none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say size and time; write nothing.")] = False,
) -> None:
    """Solve a case file at many points between bounds, on disk, and go on after an interruption."""
    from .sweeping import report

    if not report(console, case, free, design, points, seed, store, chunk, shard, dry_run):
        raise typer.Exit(1)


@app.command()
def info() -> None:
    """Versions, devices, precision, and one solve as a self-test."""
    from .selftest import report

    console.print(report())


def refuse(text: str) -> NoReturn:
    """One readable message, exit code 2."""
    errors.print(f"[red]error:[/red] {rich.markup.escape(text)}", highlight=False, soft_wrap=True)
    sys.exit(2)


def main() -> None:
    """Entry point: user errors are one readable message and exit code 2; lanes without a solution give exit code 1."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (JaxmemError, ConvergenceError) as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error}. Check the path.")
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("click", "typer"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed
            sys.exit(2)
        refuse(f"{getattr(error, 'message', '') or error} Type: jaxmem --help")
