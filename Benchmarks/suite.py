#!/usr/bin/env python3
"""suite.py - runs floor, libwalrus and peers in turns on the same work, and writes what was measured as JSON

    Benchmarks/suite.py [--form short|full|long|huge] [--dir DIRECTORY] [--out FILE] [--only TEXT] [--rounds N] [--note TEXT]

Each measurement is a process of its own in a directory of its own. For each piece of work the engines take turns, round by round, beginning
with another one each round, so that whatever else the machine does meets all of them alike. report.py makes tables and plots of it.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/bench/bin"
ENGINES = ["floor", "walrus", "rocksdb", "leveldb", "lmdb", "sqlite"]
BUFFERED, TO_OS, MAPPED, DURABLE = range(4)
SIZES = [16, 64, 256, 4096, 65536]

# How much of everything. "counts" are entries for each payload size of SIZES; "log" is the log that the table's read rows use; "growth" are the
# others, each with its number of rounds; "milliseconds" is for each durable measurement,
# "before" the entries of 256 bytes that were written to its log first: enough for RocksDB to begin to use its log files again.
FORMS = {
    "short": dict(rounds=3, counts=[100_000, 100_000, 100_000, 20_000, 1_500], log=200_000, growth={10_000: 1},
                  milliseconds=250, before=0),
    "full": dict(rounds=5, counts=[500_000, 500_000, 500_000, 80_000, 6_000], log=1_000_000,
                 growth={10_000: 5, 100_000: 5}, milliseconds=500, before=600_000),
}
FORMS["long"] = dict(FORMS["full"], rounds=7, growth={10_000: 7, 100_000: 7, 10_000_000: 3}, milliseconds=1000)
FORMS["huge"] = dict(FORMS["long"], growth={10_000: 7, 100_000: 7, 10_000_000: 3, 100_000_000: 1})

TAIL = 220_000  # entries of 256 bytes that nearly fill a segment of 64 MiB

Work = collections.namedtuple("Work", "key steps rounds arguments")
# One step is one program run in the directory that the steps before it left behind. Its figures are named PREFIX_NAME, or NAME.
Step = collections.namedtuple("Step", "workload arguments prefix killed", defaults=[{}, "", False])


def works(form):
    """Everything that is measured, in order."""
    rounds, count = form["rounds"], dict(zip(SIZES, form["counts"]))

    def one(key, workload, **arguments):
        return Work(key, [Step(workload, arguments)], rounds, arguments)

    for size in SIZES:
        yield one(f"append/{size}", "append", size=size, entries=count[size], promise=BUFFERED)
    yield one("append_os", "append", entries=count[256], promise=TO_OS)
    yield one("append_mapped", "append", entries=count[256], promise=MAPPED)
    yield one("batch", "batch", entries=count[256], batch=100, promise=BUFFERED)
    yield one("latency", "latency", entries=count[256], promise=BUFFERED)
    durable = dict(milliseconds=form["milliseconds"], before=form["before"])
    for threads in (1, 4, 16, 64):
        yield one(f"durable/{threads}", "durable", threads=threads, **durable)
    yield one("durable_batch", "durable", batch=100, threads=1, **durable)
    yield one("async", "async", entries=4 * count[256])
    killed = [Step("fill", dict(entries=TAIL, kill=1), "", True), Step("open", dict(entries=TAIL, recover=1))]
    yield Work("killed", killed, rounds, dict(entries=TAIL))
    for entries, times in sorted({**form["growth"], form["log"]: rounds}.items()):
        yield log_cycle(entries, times)


def log_cycle(entries, rounds):
    """A log is written, opened, read and cut: a new one each round, since opening changes it for some."""
    log = dict(entries=entries)
    passes = max(1, 200_000 // entries)
    return Work(f"log/{entries}", [
        Step("fill", log, "fill"),
        Step("open", log, "open"),
        Step("get", log, "get"),
        Step("get", dict(log, verify=0), "get_off"),
        Step("scan", dict(log, passes=passes), "scan"),
        Step("scan", dict(log, passes=passes, verify=0), "scan_off"),
        Step("truncate", log, "truncate"),
    ], rounds, log)


# ---- Running ---------------------------------------------------------------------------------------


class Failed(Exception):
    pass


def run_step(engine, step, directory):
    command = [BIN / f"bench-{engine}", step.workload, directory] + [f"{k}={v}" for k, v in step.arguments.items()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if step.killed and done.returncode == -signal.SIGKILL:
        return {}
    if done.returncode != 0:
        raise Failed(done.stderr.strip() or f"ended with status {done.returncode}")
    return json.loads(done.stdout)


def disk_bytes(directory):
    return sum(p.lstat().st_blocks * 512 for p in pathlib.Path(directory).rglob("*") if p.is_file())


def run_once(engine, work, place):
    """One turn: a dictionary of figures, or {"skipped": reason}."""
    directory = place / engine
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    # What earlier turns left to be written is written now, and not in this one's time.
    subprocess.run(["sync", "-f", place], check=True)
    figures = {}
    try:
        for step in work.steps:
            answer = run_step(engine, step, directory)
            if "skipped" in answer:
                return answer
            figures.update({f"{step.prefix}_{k}" if step.prefix else k: v for k, v in answer.items()})
            if step.workload == "fill" and not step.killed:
                figures["disk_bytes"] = disk_bytes(directory) / work.arguments["entries"]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return figures


def warm_up(engines, place):
    """Memory that a virtual machine has not touched for a while, programs that are not loaded: none of the first turns should pay for them."""
    with open(place / "warm-up", "wb") as file:
        for _ in range(1024):
            file.write(bytes(1 << 20))
    (place / "warm-up").unlink()
    touched = bytearray(512 << 20)
    del touched
    for engine in engines:
        run_once(engine, Work("warm-up", [Step("append", dict(entries=2000))], 1, {}), place)


def measure(engines, chosen, place):
    results, problems = [], []
    for work in chosen:
        started = time.monotonic()
        figures = {engine: collections.defaultdict(list) for engine in engines}
        skipped = {}
        for turn in range(work.rounds):
            for k in range(len(engines)):
                engine = engines[(k + turn) % len(engines)]
                if engine in skipped:
                    continue
                try:
                    answer = run_once(engine, work, place)
                except (Failed, subprocess.TimeoutExpired) as failure:
                    answer = {"skipped": f"failed: {failure}"}
                    problems.append(f"{work.key}: {engine}: {failure}")
                    print(f"  {problems[-1]}", file=sys.stderr)
                if "skipped" in answer:
                    skipped[engine] = answer["skipped"]
                    figures[engine].clear()
                    continue
                for name, value in answer.items():
                    figures[engine][name].append(value)
        results.append(dict(key=work.key, arguments=work.arguments, rounds=work.rounds, figures=figures, skipped=skipped))
        print(f"  {work.key}: {time.monotonic() - started:.1f} s", flush=True)
    return results, problems


# ---- The machine -----------------------------------------------------------------------------------


def first_match(path, pattern, fallback="unknown"):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else fallback


def file_system(place):
    """Type and device of the file system that holds place."""
    best = ("", "unknown", "unknown")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        mount, (kind, device) = left.split()[4], right.split()[:2]
        if str(place).startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind, device)
    if best[1] == "tmpfs":
        print(f"suite: {place} is in memory, where a sync costs nothing; --dir chooses another place", file=sys.stderr)
    return f"{best[1]} on {pathlib.Path(best[2]).name}"


def machine(place, engines):
    versions = {e: subprocess.run([BIN / f"bench-{e}", "version"], capture_output=True, text=True, check=True).stdout.strip() for e in engines}
    kernel = versions.pop("floor")
    virtual = "hypervisor" in first_match("/proc/cpuinfo", r"^flags\s*:\s*(.*)$")
    return dict(
        date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$", platform.machine()) + (", virtual" if virtual else ""),
        cores=os.cpu_count(),
        memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        kernel=f"{platform.system()} {platform.release()}",
        system=first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        file_system=file_system(place),
        checksum_kernel=kernel,
        versions=versions,
        missing=[e for e in ENGINES if e not in engines],
    )


def main():
    parser = argparse.ArgumentParser(description="Runs floor, libwalrus and peers in turns on the same work.")
    parser.add_argument("--form", choices=FORMS, default="full", help="how much: short takes under 3 minutes")
    parser.add_argument("--dir", default=str(ROOT / "build/bench/work"), help="where the logs are, on the disk to be measured")
    parser.add_argument("--out", default=str(ROOT / "build/bench/results.json"))
    parser.add_argument("--only", default="", help="only work whose name contains this")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, help="instead of the form's own number")
    parser.add_argument("--note", default="", help="a remark that the report repeats")
    options = parser.parse_args()

    form = dict(FORMS[options.form])
    if options.rounds:
        form.update(rounds=options.rounds, growth={n: min(options.rounds, r) for n, r in form["growth"].items()})
    engines = [e for e in ENGINES if e in options.engines.split(",") and (BIN / f"bench-{e}").exists()]
    chosen = [w for w in works(form) if options.only in w.key]
    if not engines or not chosen:
        parser.error("nothing to measure: no such engine or work, or the programs are not built")
    place = pathlib.Path(options.dir).resolve()
    place.mkdir(parents=True, exist_ok=True)
    most = max(w.arguments.get("entries", 0) * w.arguments.get("size", 256) for w in chosen)
    if shutil.disk_usage(place).free < 3 * most + (2 << 30):
        parser.error(f"{place} has too little room: this form needs {(3 * most >> 30) + 2} GiB")
    started, load = time.monotonic(), os.getloadavg()[0]
    warm_up(engines, place)
    about = machine(place, engines)
    results, problems = measure(engines, chosen, place)
    shutil.rmtree(place, ignore_errors=True)
    about.update(form=options.form, note=options.note, seconds=round(time.monotonic() - started),
                 load_before=round(load, 2), load_after=round(os.getloadavg()[0], 2))
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(dict(about=about, engines=engines, works=results), indent=1) + "\n")
    print(f"{out}: {about['seconds']} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
