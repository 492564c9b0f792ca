"""The tables and plots of docs/benchmarks.md, made from the results that are committed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGE = DOCS / "benchmarks.md"
ORDER = ("sft_lora", "sft_full", "reward", "dpo", "dpo_long_prompts", "policy", "sampling")
BEGIN, END = "<!-- made by benchmarks/page.py -->\n", "<!-- end -->"
HEAD = (
    "| work | peer | Gnomon | peer | times as fast | aim | memory above weights | aim | system time |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
AIMS = {
    "sft_lora": {"untouched": 8, "tuned": 3},
    "sft_full": {"untouched": 6, "tuned": 2},
    "reward": {"untouched": 3, "tuned": 2},
    "dpo": {"untouched": 8, "tuned": 3},
    "dpo_long_prompts": {"tuned": 5},
    "policy": {"untouched": 8, "tuned": 4},
    "sampling": {"untouched": 5, "tuned": 4, "vllm_default": 1.4, "vllm_tuned": 1.2},
}
"""Times as fast as each peer that were set as aims before anything was measured."""
MEMORY_AIM, MEMORY_AIMS = 0.6, {"reward": 0.9}
"""Share of a peer's memory where a model trains: of all work, and of that for which it is another."""
SHARED = ("long prompts", "short prompts", "4 samples")
"""The kinds of rows that share a prompt, by their names in `shared_prompts`."""
SETTINGS = {
    "untouched": "as it comes",
    "default": "with Gnomon's allocator settings",
    "tuned": "at its best settings",
}
STYLE = {"svg.hashsalt": "gnomon", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
STYLE |= {"axes.spines.right": False, "legend.frameon": False}


def row_of(name: str, results: Mapping[str, Any]) -> list[str]:
    """A workload's rows of the table, one for each peer; aims are a processor's."""
    aimed = results.get("device") != "cuda"
    return [
        _row(name, results["unit"], peer, found, aimed=aimed) for peer, found in results["against"].items()
    ]


def library(name: str, peer: str) -> str:
    """The library that stands behind a peer's results (`tuned`, `vllm_tuned`) in a workload."""
    if peer.startswith("vllm_"):
        return "vLLM"
    return "transformers" if name == "sampling" else "TRL"


def _row(name: str, unit: str, peer: str, found: Mapping[str, Any], *, aimed: bool) -> str:
    own = found.get("gnomon", found)
    said = f"{library(name, peer)}, {peer.removeprefix('vllm_')}" if "peer" in found else peer
    cells = [f"`{name}`", said, f"{own['units_per_second']['median']:g} {unit}/s"]
    if "peer" not in found:
        return "| " + " | ".join([*cells, "", "", "", f"{own['peak_mib']:,} MiB", "", _share(own)]) + " |"
    other = found["peer"]
    cells += [
        f"{other['units_per_second']['median']:g} {unit}/s",
        _times(found["times_as_fast"]),
        f"{AIMS.get(name, {}).get(peer, '')}" if aimed else "",
        f"{own['peak_mib']:,} of {other['peak_mib']:,} MiB: {found['share_of_memory']:.2f}",
        f"{MEMORY_AIMS.get(name, MEMORY_AIM)}" if aimed and name != "sampling" else "",
        f"{_share(own)}, {_share(other)}",
    ]
    return "| " + " | ".join(cells) + " |"


def _interval(found: Mapping[str, float], form: str) -> str:
    value, low, high = (f"{found[name]:{form}}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _times(ratio: Mapping[str, Any]) -> str:
    return f"**{ratio['median']:.2f}** ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _share(side: Mapping[str, Any]) -> str:
    return f"{side['system_share']:.0%}"


def measured(folder: Path = HERE, file: str = "results.json") -> dict[str, dict[str, Any]]:
    """The committed results of the workloads, in the order of the table."""
    return {name: found for name in ORDER if (found := _read(folder, name, file))}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Both tables: what came out, and how long the rows were, which settings were best, on what machine."""
    lines = [*HEAD, *(line for name, found in results.items() for line in row_of(name, found))]
    lines += [
        "",
        "| work | lengths in tokens | best settings of the peers | machine |",
        "| --- | --- | --- | --- |",
    ]
    for name, found in results.items():
        lengths = ", ".join(f"{what} {own['mean']:g}" for what, own in found["lengths"].items())
        said = "; ".join(best(name, found["against"]))
        lines.append(f"| `{name}` | {lengths} | {said} | {machine(found)} |")
    return "\n".join(lines) + "\n"


def machine(found: Mapping[str, Any]) -> str:
    """What decided how long a workload took."""
    hardware = found["hardware"]
    if found.get("device") == "cuda":
        return str(hardware["gpu"])
    return f"{hardware['cpu']}, {hardware['threads']} threads"


def on_gpu(folder: Path = HERE) -> str:
    """Both tables again of a GPU, where work was measured on one."""
    results = measured(folder, "results-gpu.json")
    if not results:
        return ""
    models = ", ".join(f"`{model}`" for model in dict.fromkeys(found["model"] for found in results.values()))
    return f"\nOn a GPU (the model: {models}):\n\n{table(results)}"


def best(name: str, against: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each library with the settings that were fastest, its variables among them."""
    lines = []
    for peer, found in against.items():
        if "search" in found:
            settings = {**found["settings"], **found["settings"].get("env", {})}
            each = [f"`{key}={value}`" for key, value in settings.items() if key != "env"]
            lines.append(f"{library(name, peer)}: {', '.join(each) or 'as it comes'}")
    return lines


def techniques(folder: Path = HERE) -> str:
    """What each technique saves, where that was measured; shared prompts have a benchmark of their own."""
    own, shared = _read(folder, "techniques").get("techniques", {}), _read(folder, "shared_prompts")
    found = [(name, timed["work"], timed) for name, timed in own.items()]
    found += [("prompts shared by answers", name, shared[name]) for name in SHARED if name in shared]
    if not found:
        return ""
    lines = ["", "| technique | in | times as fast with it |", "| --- | --- | --- |"]
    lines += [f"| {name} | {work} | {_times(timed['times_as_fast'])} |" for name, work, timed in found]
    return "\n".join(lines) + "\n"


def _read(folder: Path, name: str, file: str = "results.json") -> dict[str, Any]:
    """A benchmark's committed results; empty where it was not run."""
    path = folder / name / file
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def labelling(folder: Path = HERE) -> str:
    """How long requests to the labelling application take under load, where that was measured."""
    found = _read(folder, "labelling")
    if not found:
        return ""
    lines = [
        "",
        "| labelling under load | requests | median | p95 | p99 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for what, own in found["load"]["latency_ms"].items():
        lines.append(
            f"| `{what}` | {own['requests']:,} | {own['p50']:g} ms | {own['p95']:g} ms | {own['p99']:g} ms |"
        )
    size, load, after = found["size"], found["load"], found["killed"]
    lines += [
        "",
        f"{size['at_human_speed']} people at human speed and {size['at_full_speed']} at full speed for "
        f"{load['seconds']:g} seconds: {load['labels_per_second']:g} labels a second, "
        f"{load['errors']} errors; {load['lost']} labels were lost and {load['doubled']} doubled. "
        "After `kill -9` under load, of "
        f"{after['acknowledged']:,} that had been acknowledged {after['lost']} were lost. "
        "A claim takes, by lot and from a list of all: "
        + "; ".join(
            f"{own['by_lot']:g} and {own['from_a_list']:g} ms among {int(items):,} open items"
            for items, own in found["claim_ms"].items()
        )
        + ".",
    ]
    return "\n".join(lines) + "\n"


def annotators(folder: Path = HERE) -> str:
    """What the model of annotators takes and foretells beside crowd-kit's, where that was measured."""
    found = _read(folder, "annotators")
    if not found:
        return ""
    areas = [found["spammers"]["area"][side]["each"] for side in ("gnomon", "crowd_kit")]
    lines = [
        "",
        "| people's votes | Gnomon | crowd-kit |",
        "| --- | --- | --- |",
        _fits("a fit of pairwise votes", found["pairwise"]),
        _fits("a fit of Dawid and Skene's model", found["labels"]),
        "| who reads told from who does not, area under the curve | "
        + " | ".join(f"{fmean(own):.3f}" for own in areas)
        + " |",
    ]
    foretold = found.get("held_out", {})
    for model in (name for name in foretold if name != "gnomon"):
        sides = [foretold[name] for name in ("gnomon", model)]
        told = (f"{own['accuracy']['median']:.1%}, {own['log_loss']['median']:.3f}" for own in sides)
        lines.append(f"| held-out votes foretold, log-loss; beside `{model}` | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def _fits(what: str, found: Mapping[str, Any]) -> str:
    size, seconds = found["size"], found["seconds"]
    cells = [f"{seconds[side]['median']:.3g} s" for side in ("gnomon", "crowd_kit")]
    rows = f"{what}, {size['votes']:,} by {size['annotators']}"
    return f"| {rows} | {cells[0]}: {_times(found['times_as_fast'])} times as fast | {cells[1]} |"


def labels(folder: Path = HERE) -> str:
    """What a reward model learns from each way of making labels of votes, where that was measured."""
    found = _read(folder, "labels")
    if not found:
        return ""
    size = found["size"]
    lines = [
        "",
        f"| labels by, of {size['overlap']} votes on each of {size['rows']} pairs, {size['seeds']} crowds | "
        "right on clean labels | log-loss |",
        "| --- | --- | --- |",
    ]
    for way, right in found["accuracy"].items():
        lines.append(f"| `{way}` | {_interval(right, '.1%')} | {_interval(found['log_loss'][way], '.3f')} |")
    return "\n".join(lines) + "\n"


def ai_labels(folder: Path = HERE) -> str:
    """How long a model takes to label comparisons, where that was measured."""
    found = _read(folder, "ai_labels")
    if not found:
        return ""
    return (
        f"\n{found['pairs']:,} comparisons labelled by the model itself under a constitution, each in both "
        f"orders: {found['seconds']:g} seconds and {found['peak_mib']:,} MiB, the whole command, on "
        f"{machine(found)}.\n"
    )


def optimum(folder: Path = HERE) -> str:
    """How near each algorithm comes to the best policy at its distance, and what losses of preferences gain,
    where that was measured."""
    found = _read(folder, "optimum")
    if not found:
        return ""
    seeds = f"{found['size']['seeds']} seeds"
    lines = [
        "",
        f"| tiny model paid by a program, {seeds} | paid | nats from the start | of the optimum there |",
        "| --- | --- | --- | --- |",
        f"| the start | {_interval(found['start'], '.1%')} | 0 | |",
    ]
    for name, own in found["climbs"].items():
        paid, nats, share = (
            _interval(own[key], form) for key, form in (("reward", ".1%"), ("kl", ".2f"), ("share", ".1%"))
        )
        lines.append(f"| `{name}` | {paid} | {nats} | {share} |")
    pairs = f"tiny model, {found['size']['pairs']} comparisons"
    lines += [
        "",
        f"| {pairs}, {seeds} | held-out pairs told right, more than at the start | paid |",
        "| --- | --- | --- |",
    ]
    for name, own in found["losses"].items():
        lines.append(f"| `{name}` | {_interval(own['more'], '+.1%')} | {_interval(own['reward'], '.1%')} |")
    return "\n".join(lines) + "\n"


def algorithms(folder: Path = HERE) -> str:
    """What each algorithm makes of the default model, over seeds, where that was measured."""
    found = _read(folder, "algorithms")
    if not found:
        return ""
    seeds = len(found["rows"][0]["costs"])
    gaps = {"reward/second": "+.2f", "checks": "+.1%", "over_refusal": "+.1%", "length/tokens": "+.1f"}
    lines = [
        "",
        f"| the demo's tuned model, {seeds} seeds, {machine(found)} | a seed takes | "
        "nats from it | second reward, over it | checks | over-refusal | tokens |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found["rows"]:
        own = {
            gap["metric"]: gap
            for gap in row["differences"]
            if (gap["of"], gap["over"]) == (row["last"], "sft")
        }
        minutes = fmean(cost["seconds"] for cost in row["costs"]) / 60
        memory = max(cost["peak_memory_gib"] for cost in row["costs"])
        nats = _interval(row["models"][row["last"]]["kl/reference"], ".2f")
        told = (_interval(own[name], form) for name, form in gaps.items())
        lines.append(
            f"| `{row['recipe']}` | {minutes:.1f} min, {memory:.1f} GiB | {nats} | " + " | ".join(told) + " |"
        )
    return "\n".join(lines) + "\n"


def made() -> str:
    """All that the page has from the committed results."""
    labelled = labelling() + annotators() + labels() + ai_labels()
    return table(measured()) + on_gpu() + labelled + algorithms() + optimum() + techniques() + plots()


def plots() -> str:
    """Links to the plots that there are."""
    named = {
        "benchmarks-speed.svg": "Times as fast as the peer",
        "benchmarks-scaling.svg": "Seconds and memory as sizes grow",
    }
    return "".join(f"\n![{words}]({name})\n" for name, words in named.items() if (DOCS / name).exists())


def page(text: str, made: str) -> str:
    """The page with what is made put between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + made + END + rest.split(END, 1)[1]


def bars(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Times as fast by a bar's label, over a peer's `SETTINGS`; vLLM has bars of its own."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, own in results.items():
        for peer, timed in own["against"].items():
            if "times_as_fast" in timed:
                side, _, settings = peer.rpartition("_")
                label = "\n".join([*name.split("_"), *(["vLLM"] if side else [])])
                found.setdefault(label, {})[settings] = timed["times_as_fast"]
    return found


def save_speed(results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Bars of times as fast, with the lowest and the highest pair."""
    groups = bars(results)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        for k, (peer, words) in enumerate(SETTINGS.items()):
            found = [(i, own[peer]) for i, own in enumerate(groups.values()) if peer in own]
            ratios = [ratio for _, ratio in found]
            axes.bar(
                [i + 0.27 * (k - 1) for i, _ in found],
                [ratio["median"] for ratio in ratios],
                0.25,
                yerr=[
                    [ratio["median"] - ratio["low"] for ratio in ratios],
                    [ratio["high"] - ratio["median"] for ratio in ratios],
                ],
                label=f"over the peer {words}",
            )
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_ylabel("times as fast")
        axes.legend()
        figure.savefig(path, metadata={"Date": None})


def save_scaling(points: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Seconds above, memory below, one column for each thing that grows."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        grid = figure.subplots(2, len(points), squeeze=False)
        for column, (name, own) in enumerate(points.items()):
            sides = dict.fromkeys(point["side"] for point in own)
            for side in sides:
                line = [point for point in own if point["side"] == side]
                sizes = [point["size"] for point in line]
                for row, what in enumerate(("seconds", "peak_mib")):
                    grid[row, column].plot(sizes, [point[what] for point in line], "o-", label=side)
            grid[0, column].set_title(name, fontsize=9)
            for row, what in enumerate(("seconds", "MiB above what was there")):
                grid[row, column].set_ylim(bottom=0)
                grid[row, column].set_xlim(left=0)
                if column == 0:
                    grid[row, column].set_ylabel(what)
            grid[0, column].legend(fontsize=7)
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the page's tables and the plots anew."""
    results = measured()
    if any("times_as_fast" in found for r in results.values() for found in r["against"].values()):
        save_speed(results, DOCS / "benchmarks-speed.svg")
    if scaling := _read(HERE, "scaling"):
        save_scaling(scaling["points"], DOCS / "benchmarks-scaling.svg")
    PAGE.write_text(page(PAGE.read_text(), made()))


if __name__ == "__main__":
    main()
