"""The charts of docs/evidence.md, as SVG.

In: the contents of accuracy.json and evaluate.json. Out: text, the same for the same numbers.
"""

from statistics import mean

from evidence_rows import SEEN, SETTINGS, Results, by_method, halves, of, spread
from figures import Line, Panel, Plot, curves, rows_of_dots

#: Methods whose curves are drawn.
DRAWN = ("none", "flip_crop", "mixup", "cutmix", "both", "mixup_alone", "cutmix_alone")


def learning_curves(accuracy: Results) -> str:
    plots = []
    for figure, title, percent in (("error", "test error", True), ("train_loss", "loss that is trained on", False)):
        lines = []
        for method, runs in by_method(accuracy, "few").items():
            if method in DRAWN:
                points = [[run["curve"][i][figure] for run in runs] for i in range(len(runs[0]["curve"]))]
                epochs = [point["epochs"] for point in runs[0]["curve"]]
                band = [spread(values) for values in points] if percent else []
                lines.append(Line(runs[0]["title"], epochs, [mean(values) for values in points], band))
        plots.append(Plot(title, "epoch", lines, percent))
    note = f"{SETTINGS['few']}; mean over seeds, band: ± one standard deviation"
    return curves("Learning curves on CIFAR-10", [note], plots)


def between_chart(accuracy: Results) -> str:
    plots = []
    for figure, title in (
        ("misses", "neither class is named"),
        ("gradient", "norm of the loss's gradient by the image"),
    ):
        lines = []
        for method, runs in by_method(accuracy, "few").items():
            if method in DRAWN:
                lam = runs[0]["in_between"]["lam"]
                values = [mean(run["in_between"][figure][i] for run in runs) for i in range(len(lam))]
                lines.append(Line(runs[0]["title"], lam, values))
        plots.append(Plot(title, "λ, of x = λ·xᵢ + (1−λ)·xⱼ", lines, figure == "misses"))
    note = f"{SETTINGS['few']}; 100 pairs of training images, mean over seeds"
    return curves("In between two training images", [note], plots)


def methods_chart(accuracy: Results, setting: str) -> str:
    methods = by_method(accuracy, setting)
    names = [runs[0]["title"] for runs in methods.values()]
    labels = {"plain": "the image as it is", "ten": "ten views"}
    panels = []
    for figure, title, percent in (("error", "top-1 error", True), ("nll", "NLL", False), ("ece", "ECE", True)):
        values = {views: [of(runs, views, figure) for runs in methods.values()] for views in labels}
        series = {labels[views]: [mean(each) for each in rows] for views, rows in values.items()}
        spreads = {labels[views]: [spread(each) for each in rows] for views, rows in values.items()}
        panels.append(Panel(title, series, spreads, percent))
    note = f"2,000 test images; {SETTINGS[setting]}; mean over seeds, bar: ± one standard deviation"
    return rows_of_dots("CIFAR-10 with and without test-time augmentation", [note], names, panels)


def views_chart(evaluate: Results) -> str:
    sets = evaluate["views"]
    labels = ("plain mean", "weights of the other half")
    panels = []
    for figure, title, percent in (("top1", "top-1", True), ("nll", "NLL", False), ("ece", "ECE", True)):
        fitted = [halves(row, "fitted", figure) if "fitted_on_halves" in row else None for row in sets.values()]
        panels.append(
            Panel(title, dict(zip(labels, ([row[figure] for row in sets.values()], fitted), strict=True)), {}, percent)
        )
    panels.append(
        Panel("images / CPU second", {labels[0]: [row["images_per_cpu_second"] for row in sets.values()]}, {})
    )
    notes = [f"{evaluate['network']}; 500 ImageNet images. {SEEN}"]
    return rows_of_dots("Test-time augmentation of a pretrained network", notes, list(sets), panels)


def charts(accuracy: Results, evaluate: Results) -> dict[str, str]:
    """SVG by the name of its file in benchmarks/results."""
    return {
        "accuracy-curves.svg": learning_curves(accuracy),
        "accuracy-between.svg": between_chart(accuracy),
        **{
            f"accuracy-{setting}.svg": methods_chart(accuracy, setting)
            for setting in ("few", "single")
            if by_method(accuracy, setting)
        },
        "evaluate-views.svg": views_chart(evaluate),
    }
