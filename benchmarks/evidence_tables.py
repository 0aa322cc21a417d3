"""The tables of docs/evidence.md, as markdown.

In: the contents of accuracy.json, evaluate.json and published.py. Out: text, the same for the same numbers.
"""

from collections.abc import Iterator, Sequence
from statistics import mean, stdev

from evidence_rows import SEEN, SETTINGS, Results, by_method, halves, of
from published import ROWS


def with_spread(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Mean ± standard deviation over seeds."""
    shown = f"{scale * mean(values):z.{digits}f}"
    return f"{shown} ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else shown


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def methods_table(accuracy: Results, setting: str) -> str:
    head = ["training images", "seeds", "top-1 error, %", "with the mirror image", "with ten views"]
    head += ["ten views, weighted", "NLL", "NLL, ten views", "ECE, %", "ECE, ten views"]
    rows = []
    for runs in by_method(accuracy, setting).values():
        errors = [with_spread(of(runs, views, "error")) for views in ("plain", "mirrored", "ten", "fitted")]
        nll = [with_spread(of(runs, views, "nll"), 1.0, 2) for views in ("plain", "ten")]
        ece = [with_spread(of(runs, views, "ece")) for views in ("plain", "ten")]
        rows.append([runs[0]["title"], str(len(runs)), *errors, *nll, *ece])
    return table(head, rows)


def gains_table(accuracy: Results, setting: str, base: str, only: str = "") -> str:
    """The change of each method, or of those with a given end of their name, against another, seed by seed."""
    methods = by_method(accuracy, setting)
    bases = {run["seed"]: run for run in methods.get(base, [])}
    rows = []
    for method, runs in methods.items():
        pairs = [(run, bases[run["seed"]]) for run in runs if run["seed"] in bases and method != base]
        if not pairs or not method.endswith(only):
            continue
        row = [runs[0]["title"], str(len(pairs))]
        for views, figure, scale, digits in (
            ("plain", "error", 100, 1),
            ("ten", "error", 100, 1),
            ("plain", "nll", 1, 2),
        ):
            changes = [run["test"][views][figure] - other["test"][views][figure] for run, other in pairs]
            row.append(with_spread(changes, scale, digits).replace("-", "−"))
        rows.append(row)
    return table(["training images", "seeds", "error, points", "error with ten views, points", "NLL"], rows)


def crossings_table(accuracy: Results) -> str:
    """The learning curves in numbers: mean test error, percent."""
    rows = []
    methods = by_method(accuracy, "few")
    epochs = [point["epochs"] for point in next(iter(methods.values()))[0]["curve"]]
    for runs in methods.values():
        errors = [mean(run["curve"][i]["error"] for run in runs) for i in range(len(epochs))]
        rows.append([runs[0]["title"], *(f"{100 * error:.1f}" for error in errors)])
    return table(["test error, %, after epoch", *(f"{epoch:g}" for epoch in epochs)], rows)


def between_table(accuracy: Results) -> str:
    rows = []
    for runs in by_method(accuracy, "few").values():
        row = [runs[0]["title"]]
        for figure, scale, digits in (("misses", 100, 1), ("gradient", 1, 2)):
            for lam in (1.0, 0.5):
                values = [run["in_between"][figure][run["in_between"]["lam"].index(lam)] for run in runs]
                row.append(with_spread(values, scale, digits))
        rows.append(row)
    head = ["training images", "errors at λ = 1, %", "at λ = ½, %", "gradient norm at λ = 1", "at λ = ½"]
    return table(head, rows)


def published_table() -> str:
    head = ["source", "network", "images", "epochs", "top-1 error, %, published"]
    rows = [[row.paper, row.network, row.method, str(row.epochs), f"{row.error:g}"] for row in ROWS]
    return table(head, rows)


def published_commands() -> str:
    lines = [
        f"# {row.network}, {row.method}, {row.epochs} epochs: {row.error:g} published\n{row.command}" for row in ROWS
    ]
    return "```bash\n" + "\n".join(lines) + "\n```"


def loaders_table(evaluate: Results) -> str:
    head = ["pixels", "top-1, %", "NLL", "same class as Pillow's, %", "distance from Pillow's, gray levels"]
    head += ["the furthest image", "images / CPU second"]
    names = {
        "streamaug": "`imagenet_eval`, here",
        "pillow": "Pillow, torchvision's sizes",
        "webdataset": "webdataset, then the same",
        "dali": "DALI's `resize_shorter` and `crop`",
    }
    rows = []
    for name, row in evaluate["loaders"].items():
        loader, interpolation = name.split(", ")
        figures = [f"{100 * row['top1']:.1f}", f"{row['nll']:.3f}", f"{100 * row['agreement']:.1f}"]
        figures += [f"{row['mean_distance']:.2f}", f"{row['largest_image_distance']:.2f}"]
        rows.append([f"{names[loader]}, {interpolation}", *figures, f"{row['images_per_cpu_second']:.0f}"])
    return f"{SEEN}\n\n{table(head, rows)}"


def views_table(evaluate: Results) -> str:
    head = ["views", "V", "top-1, %", "NLL", "ECE, %", "weighted: top-1, %", "NLL", "ECE, %", "images / CPU second"]
    rows = []
    for name, row in evaluate["views"].items():
        figures = [f"{100 * row['top1']:.1f}", f"{row['nll']:.3f}", f"{100 * row['ece']:.1f}"]
        if "fitted_on_halves" in row:
            weighted = {figure: halves(row, "fitted", figure) for figure in ("top1", "nll", "ece")}
            figures += [f"{100 * weighted['top1']:.1f}", f"{weighted['nll']:.3f}", f"{100 * weighted['ece']:.1f}"]
        else:
            figures += ["–"] * 3
        rows.append([name, str(row["views"]), *figures, f"{row['images_per_cpu_second']:.1f}"])
    return f"{SEEN} Weights are fitted on one half and reported on the other, both ways.\n\n{table(head, rows)}"


def each_view(evaluate: Results) -> Iterator[tuple[str, Results, list[float], bool]]:
    """Name, figures alone, weights of both fits, and whether both say it harms; of bilinear sets, each view once."""
    seen = set()
    for name, row in evaluate["views"].items():
        interpolation = name.split(", ")[1]
        for view, figures in row["alone"].items():
            if interpolation != "bilinear" or "fitted_on_halves" not in row or (name, view) in seen:
                continue
            seen.add((name, view))
            weights = [half["weights"][view] for half in row["fitted_on_halves"]]
            yield (
                f"{name.split(', ')[0]}: {view}",
                figures,
                weights,
                all(view in half["harmful"] for half in row["fitted_on_halves"]),
            )


def each_view_table(evaluate: Results) -> str:
    rows = [
        [
            name,
            f"{100 * figures['top1']:.1f}",
            f"{figures['nll']:.3f}",
            f"{100 * figures['ece']:.1f}",
            " and ".join(f"{weight:.3f}" for weight in weights),
            "harms" if harms else "",
        ]
        for name, figures, weights, harms in each_view(evaluate)
    ]
    head = ["set: view alone", "top-1, %", "NLL", "ECE, %", "weights of the two fits", "by both halves"]
    return f"{SEEN} Bilinear.\n\n{table(head, rows)}"


def tables(accuracy: Results, evaluate: Results) -> dict[str, str]:
    """Markdown by the name that stands in the page's comments."""
    return {
        **{
            f"methods {setting}": methods_table(accuracy, setting)
            for setting in SETTINGS
            if by_method(accuracy, setting)
        },
        "gains few": gains_table(accuracy, "few", "flip_crop"),
        "gains alone": gains_table(accuracy, "few", "none", "_alone"),
        "gains long": gains_table(accuracy, "long", "flip_crop"),
        "gains single": gains_table(accuracy, "single", "none"),
        "curves": crossings_table(accuracy),
        "between": between_table(accuracy),
        "published": published_table(),
        "commands": published_commands(),
        "loaders": loaders_table(evaluate),
        "views": views_table(evaluate),
        "each view": each_view_table(evaluate),
    }
