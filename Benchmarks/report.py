#!/usr/bin/env python3
"""report.py - tables and plots of what suite.py measured

    Benchmarks/report.py RESULTS.json DIRECTORY      writes results.md, results.json and, where matplotlib is there, *.svg into DIRECTORY

Figures are medians of the rounds with the lowest and the highest behind them. Ratios are taken within each round, where the engines took
turns, and then their median: the machine may drift from one round to the next, and both sides with it.
"""

import json
import pathlib
import statistics
import sys

NAMES = dict(floor="floor", walrus="libwalrus", rocksdb="RocksDB", leveldb="LevelDB", lmdb="LMDB", sqlite="SQLite")
COLOURS = dict(floor="#999999", walrus="#d62728", rocksdb="#1f77b4", leveldb="#17becf", lmdb="#2ca02c", sqlite="#9467bd")
LOWER, HIGHER = "lower is better", "higher is better"


def size_name(size):
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def count_name(count):
    return f"{count:,}".replace(",", " ")


class Results:
    def __init__(self, text):
        data = json.loads(text)
        self.about, self.engines = data["about"], data["engines"]
        self.works = {work["key"]: work for work in data["works"]}

    def figures(self, key, engine, metric):
        """What was measured, round by round; empty if it was not."""
        return self.works.get(key, {}).get("figures", {}).get(engine, {}).get(metric, [])

    def keys(self, kind):
        """The keys KIND/NUMBER that were measured, as (number, key) in order."""
        return sorted((int(key.split("/")[1]), key) for key in self.works if key.startswith(kind + "/"))

    def peers(self):
        return [engine for engine in self.engines if engine not in ("floor", "walrus")]


# ---- The tables --------------------------------------------------------------------------------------


def sections(results):
    """(title, unit, better, rows), where a row is (title, key, metric)."""
    logs = results.keys("log")
    main = max((key for _, key in logs), key=lambda key: (results.works[key]["rounds"], int(key.split("/")[1])), default="log/0")
    entries = count_name(int(main.split("/")[1]))
    yield "Appending, not synced", "ns an entry", LOWER, [
        *[(size_name(size), key, "ns") for size, key in results.keys("append")],
        ("256 B in batches of 100", "batch", "ns"),
        ("256 B, survives kill -9", "append_os", "ns"),
        ("256 B, survives kill -9, without a system call", "append_mapped", "ns"),
    ]
    yield "Appending durably, 256 B", "entries/s", HIGHER, [
        *[(f"{n} thread{'s' if n > 1 else ''}", key, "per_s") for n, key in results.keys("durable")],
        ("batches of 100", "durable_batch", "per_s"),
        ("1 thread, asynchronous", "async", "per_s"),
    ]
    yield f"Reading a log of {entries} entries of 256 B in memory", "ns an entry", LOWER, [
        ("in order, verified", main, "scan_ns"), ("in order, not verified", main, "scan_off_ns"),
        ("at random, verified", main, "get_ns"), ("at random, not verified", main, "get_off_ns"),
    ]
    yield f"The log as a whole, {entries} entries of 256 B", "ms", LOWER, [
        ("open after a clean close", main, "open_ms"),
        (f"open after kill -9, {count_name(220_000)} entries", "killed", "ms"),
        ("cut off the back half", main, "truncate_back_ms"), ("cut off the front half of the rest", main, "truncate_front_ms"),
    ]
    yield f"What it takes, {entries} entries of 256 B", "", LOWER, [
        ("bytes on disk an entry", main, "disk_bytes"),
        ("memory after open and one read, MiB (own and code)", main, "open_memory_mib"),
        ("of which own (anonymous), MiB", main, "open_anonymous_mib"),
    ]
    for title, key in (("Latency of an append that is not synced, 256 B", "latency"),
                       *((f"Latency of a durable append, 256 B, {n} thread{'s' if n > 1 else ''}", key) for n, key in results.keys("durable")
                         if n in (1, 64))):
        yield title, "µs", LOWER, [(name, key, metric) for name, metric in PERCENTILES]
    for name, metric, unit in GROWTH:
        yield f"As the log grows: {name}", unit, LOWER, [(count_name(n) + " entries", key, metric) for n, key in logs]


PERCENTILES = [("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us"), ("max", "max_us")]
GROWTH = [("append in batches of 100, not synced", "fill_ns", "ns an entry"), ("get at random, verified", "get_ns", "ns"),
          ("open after a clean close", "open_ms", "ms"), ("memory after open", "open_memory_mib", "MiB"),
          ("cut off the back half", "truncate_back_ms", "ms"), ("cut off the front half of the rest", "truncate_front_ms", "ms")]


def number(value):
    if value >= 1000:
        return count_name(round(value))
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    if not values:
        return "–"
    median, low, high = statistics.median(values), min(values), max(values)
    return number(median) if number(low) == number(high) else f"{number(median)} ({number(low)}…{number(high)})"


def ratio(ours, theirs):
    pairs = [a / b for a, b in zip(ours, theirs) if b > 0]
    return f"{statistics.median(pairs):.2f} ({min(pairs):.2f}…{max(pairs):.2f})" if pairs else "–"


def best_peer(results, key, metric, better):
    measured = {e: statistics.median(f) for e in results.peers() if (f := results.figures(key, e, metric))}
    if not measured:
        return None
    return (min if better == LOWER else max)(measured, key=measured.get)


def table(results, title, unit, better, rows):
    engines = results.engines
    lines = [f"## {title}", "", f"{unit + ', ' if unit else ''}{better}", "",
             "| | " + " | ".join(NAMES[e] for e in engines) + " | ÷ floor | ÷ best peer |", "|---|" + "---:|" * (len(engines) + 2)]
    shown = 0
    for name, key, metric in rows:
        figures = {e: results.figures(key, e, metric) for e in engines}
        if not any(figures.values()):
            continue
        ours, best = figures.get("walrus", []), best_peer(results, key, metric, better)
        cells = [spread(figures[e]) for e in engines]
        cells.append(ratio(ours, figures.get("floor", [])))
        cells.append(f"{ratio(ours, figures[best])} {NAMES[best]}" if best and ours else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        shown += 1
    return lines + [""] if shown else []


def left_out(results):
    reasons = {}
    for work in results.works.values():
        for engine, reason in work["skipped"].items():
            reasons.setdefault((NAMES[engine], reason), []).append(work["key"])
    lines = [f"- {name}, {', '.join(keys)}: {reason}" for (name, reason), keys in reasons.items()]
    lines += [f"- {NAMES[engine]}: not installed where this was measured" for engine in results.about["missing"]]
    return ["## Left out", "", *lines, ""] if lines else []


def markdown(results, plots):
    about = results.about
    versions = ", ".join(f"{NAMES[e]} {v}" for e, v in about["versions"].items())
    lines = ["# Benchmark results", ""]
    if about["note"]:
        lines += [f"**{about['note']}**", ""]
    lines += [
        "What each row means, and how to run it again: [README.md](README.md). A cell is the median (lowest…highest) of the rounds; ÷ is libwalrus divided by",
        "the floor, and by the best peer, of the same round: below 1 is better where lower is better, above 1 where higher is.", "",
        "| | |", "|---|---|",
        f"| measured | {about['date']}, form {about['form']}, {about['seconds']} s |",
        f"| machine | {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; load {about['load_before']} before, {about['load_after']} after |",
        f"| system | {about['system']}, {about['kernel']}, {about['file_system']} |",
        f"| versions | {versions} |",
        f"| checksum kernel | {about['checksum_kernel']} |", "",
    ]
    lines += [f"![{title}]({name})" for name, title in plots] + [""] if plots else []
    for section in sections(results):
        lines += table(results, *section)
    return "\n".join(lines + left_out(results)).rstrip() + "\n"


# ---- The plots ---------------------------------------------------------------------------------------


def draw(axes, results, points, metric, transform=lambda value, x: value):
    """One line an engine through the medians of (x, key), with bars from the lowest to the highest."""
    for engine in results.engines:
        xs, medians, below, above = [], [], [], []
        for x, key in points:
            values = [transform(v, x) for v in results.figures(key, engine, metric)]
            if not values:
                continue
            median = statistics.median(values)
            xs.append(x), medians.append(median)
            below.append(median - min(values)), above.append(max(values) - median)
        if xs:
            axes.errorbar(xs, medians, yerr=[below, above], label=NAMES[engine], color=COLOURS[engine], capsize=2, linewidth=1.2,
                          marker="o", markersize=3.5, linestyle="--" if engine == "floor" else "-",
                          zorder=3 if engine == "walrus" else 2)


def draw_percentiles(axes, results, key):
    for engine in results.engines:
        values = [results.figures(key, engine, metric) for _, metric in PERCENTILES]
        if all(values):
            axes.plot([name for name, _ in PERCENTILES], [statistics.median(v) for v in values], label=NAMES[engine],
                      color=COLOURS[engine], marker="o", markersize=3.5, linewidth=1.2, linestyle="--" if engine == "floor" else "-")
    axes.set_yscale("log")
    axes.set_ylabel("µs")


def label(axes, title, x, y, ticks=None):
    axes.set_xscale("log"), axes.set_yscale("log")
    if ticks:
        axes.set_xticks([t for t, _ in ticks], [name for _, name in ticks])
        axes.minorticks_off()
    axes.set_title(title, fontsize=10), axes.set_xlabel(x), axes.set_ylabel(y)
    axes.grid(True, which="major", alpha=0.3)


def plot_all(results, directory):
    """Draws what there are figures for; (file name, title) of each plot."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "walrus", "font.size": 9, "legend.fontsize": 8})
    from matplotlib import pyplot

    appends, durable, logs = results.keys("append"), results.keys("durable"), results.keys("log")
    sizes = [(size, size_name(size)) for size, _ in appends]
    counts = [(n, count_name(n)) for n, _ in logs]
    drawn = []

    def figure(name, title, panels, draw_panels):
        figure, axes = pyplot.subplots(1, panels, figsize=(6.4 * panels if panels == 1 else 5 * panels, 4), layout="constrained", squeeze=False)
        draw_panels(*axes[0])
        axes[0][0].legend()
        figure.savefig(directory / name, metadata={"Date": None})
        pyplot.close(figure)
        drawn.append((name, title))

    if appends:
        def panel(axes):
            draw(axes, results, appends, "ns", lambda ns, size: 1e9 / ns)
            label(axes, "Appending, not synced", "payload", "entries/s", sizes)
        figure("append-rate.svg", "Append rate by payload size", 1, panel)
    if durable:
        def panel(axes):
            draw(axes, results, durable, "per_s")
            label(axes, "Appending durably, 256 B", "threads", "entries/s", [(n, str(n)) for n, _ in durable])
        figure("durable-rate.svg", "Durable appends by threads", 1, panel)
    latencies = [(key, title) for key, title in (("latency", "Append, not synced, 256 B"), ("durable/1", "Durable append, 256 B, 1 thread"))
                 if key in results.works]
    if latencies:
        def panels(*axes):
            for one, (key, title) in zip(axes, latencies):
                draw_percentiles(one, results, key)
                one.set_title(title, fontsize=10), one.grid(True, which="major", alpha=0.3)
        figure("latency.svg", "Latency percentiles", len(latencies), panels)
    if logs:
        def panel(axes):
            draw(axes, results, logs, "get_ns")
            label(axes, "Get at random, verified, 256 B", "entries in the log", "ns", counts)
        figure("get-latency.svg", "Get latency by log size", 1, panel)

        def panels(left, right):
            draw(left, results, logs, "open_ms")
            label(left, "Open after a clean close", "entries in the log", "ms", counts)
            draw(right, results, logs, "open_memory_mib")
            label(right, "Memory after open", "entries in the log", "MiB", counts)
            right.set_yscale("linear"), right.set_ylim(bottom=0)
        figure("open.svg", "Open time and memory by log size", 2, panels)
    return drawn


def main():
    source, directory = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = source.read_text()
    results = Results(text)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        plots = plot_all(results, directory)
    except ImportError as missing:
        print(f"report: no plots: {missing} (Debian: python3-matplotlib)", file=sys.stderr)
        plots = []
    (directory / "results.md").write_text(markdown(results, plots))
    if source.resolve() != (directory / "results.json").resolve():
        (directory / "results.json").write_text(text)
    print(f"{directory}/results.md, results.json and {len(plots)} plots")


if __name__ == "__main__":
    main()
