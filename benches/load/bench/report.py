"""The report: a Markdown page of tables, with machine, date, versions and whether the targets are met."""

from . import rules
from .scenarios import CHURN_NODES, CHURN_POOLS, CHURN_RATE, IDLE_CONNECTIONS, MANY_NODES, RATE, WORK, median, ratio

# Work -> most allowed ratio of Tidegate to HAProxy and to the relay.
TARGETS = {"W1": (0.78, 1.15), "W2": (0.50, 0.80), "W3": (0.68, None), "W4": (0.70, None), "W5": (0.58, None)}
# Bytes per idle connection.
MEMORY_TARGETS = {"plain": 4_000, "tls": 14_000}
MANY_NODES_TARGET = 1.05
CHURN_TARGET_MS = 2.0


def verdict(value, most):
    if value is None or most is None:
        return ""
    return f" (target ≤ {most:g}: {'met' if value <= most else '**missed**'})"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def page(result):
    facts, versions = result["machine"], result["versions"]
    out = ["# Side by side", ""]
    out += [
        f"{facts['date']}; {facts['cpu']}, {facts['cpus']} CPUs, {facts['kernel']}. One worker each, pinned to one CPU; "
        f"load on another. {result['rounds']} rounds of {result['seconds']} s, the contenders in turn. "
        "Made by `benches/load/sidebyside`.",
        "",
        ", ".join(f"{name} {version}".strip() for name, version in versions.items()) + ".",
        "",
    ]
    if result["quick"]:
        out += ["**A short run that proves the procedure; the figures mean little.**", ""]
    if result["busy"] > 0.1:
        out += [f"**The machine was busy with other work ({result['busy']:.0%} of both CPUs): not a result.**", ""]
    out += cpu(result) + rules_cost(result) + latency(result) + memory(result) + scale(result)
    if result["faults"]:
        out += ["## Not a result", ""] + [f"- {fault}" for fault in result["faults"]] + [""]
    return "\n".join(out).rstrip() + "\n"


def cpu(result):
    done = result["cpu"]
    if not done:
        return []
    names = list(dict.fromkeys(name for figures in done.values() for name in figures))
    rows = []
    for name in names:
        row = [name]
        for figures in done.values():
            if not figures.get(name):
                row.append("–")
                continue
            relative = ratio(figures, name, "haproxy")
            row.append(f"{median(figures[name]):.1f}" + (f" ({relative[0]:.2f})" if relative else ""))
        rows.append(row)
    out = ["## CPU per request", ""]
    out += ["Microseconds, median over the rounds; in brackets the median of the same-round ratios to HAProxy.", ""]
    out += table(["", *(f"{work} {WORK[work][0]}" for work in done)], rows)
    if "tidegate" in names:
        rows = []
        for work, figures in done.items():
            row = [f"{work} {WORK[work][0]}"]
            for other, most in zip(("haproxy", "relay"), TARGETS.get(work, (None, None))):
                found = ratio(figures, "tidegate", other)
                row.append(
                    f"{found[0]:.2f} [{found[1]:.2f}–{found[2]:.2f}]{verdict(found[0], most)}" if found else "–"
                )
            rows.append(row)
        out += ["Tidegate, median of the same-round ratios [smallest–largest]:", ""]
        out += table(["", "to HAProxy", "to the relay"], rows)
    if "before" in names:
        found = {work: ratio(figures, "tidegate", "before") for work, figures in done.items()}
        out += ["Tidegate to the binary before:", ""]
        out += table(["", ""], [[work, f"{r[0]:.3f} [{r[1]:.3f}–{r[2]:.3f}]"] for work, r in found.items() if r])
    return out


def rules_cost(result):
    done = result["rules"]
    if not done:
        return []
    rows = []
    for work, figures in done.items():
        for name, own in figures.items():
            row = [f"{work} {rules.WORK[work][0]}", name, f"{median(own):.1f}"]
            for other in ("tidegate", rules.MEASURED[work]):
                found = ratio(figures, name, other) if name != other else None
                row.append(f"{found[0]:.2f} [{found[1]:.2f}–{found[2]:.2f}]" if found else "–")
            rows.append(row)
    out = ["## Rules", ""]
    out += ["CPU per request, microseconds, median over the rounds; median of the same-round ratios [smallest–largest].", ""]
    out += table(["", "", "CPU", "to Tidegate without rules", "to Tidegate with rules"], rows)
    for work, others in rules.TARGETS.items():
        for other, most in others.items():
            found = ratio(done.get(work, {}), rules.MEASURED[work], other)
            if found:
                out.append(f"- {work}: {rules.MEASURED[work]} to {other}: {found[0]:.3f}{verdict(found[0], most)}")
    return out + [""]


def latency(result):
    done = result["latency"]
    if not done:
        return []
    p99 = {name: [one[1] for one in figures] for name, figures in done.items()}
    rows = []
    for name, figures in done.items():
        found = ratio(p99, name, "haproxy")
        rows.append(
            [
                name,
                f"{median([one[0] for one in figures]):.2f}",
                f"{median(p99[name]):.2f}",
                (f"{found[0]:.2f}" + (verdict(found[0], 1.0) if name == "tidegate" else "")) if found else "–",
            ]
        )
    out = [f"## Latency at {RATE:,} requests/s", "", "Open loop, 128 B; milliseconds, median over the rounds.", ""]
    return out + table(["", "p50", "p99", "p99 to HAProxy"], rows)


def memory(result):
    done = result["memory"]
    if not done:
        return []
    rows = []
    for name, kinds in done.items():
        row = [name]
        for kind, most in MEMORY_TARGETS.items():
            value = kinds.get(kind)
            row.append("–" if value is None else f"{value:,.0f}" + (verdict(value, most) if name == "tidegate" else ""))
        rows.append(row)
    out = [f"## Memory per idle client connection, at {IDLE_CONNECTIONS:,} of them", "", "Bytes.", ""]
    return out + table(["", "plain", "TLS"], rows)


def scale(result):
    out = []
    if result["nodes"]:
        out += [f"## {MANY_NODES:,} nodes in a pool", "", "CPU per request to that with four nodes, same rounds.", ""]
        for name, figures in result["nodes"].items():
            found = ratio(figures, str(MANY_NODES), "4")
            if found:
                judged = verdict(found[0], MANY_NODES_TARGET) if name == "tidegate" else ""
                out.append(f"- {name}: {found[0]:.3f} [{found[1]:.3f}–{found[2]:.3f}]{judged}")
        # What both take is compared as well: who pays more for four has less to lose.
        found = ratio({name: many[str(MANY_NODES)] for name, many in result["nodes"].items()}, "tidegate", "haproxy")
        if found:
            out.append(f"- tidegate to haproxy, both with {MANY_NODES:,}: {found[0]:.3f} [{found[1]:.3f}–{found[2]:.3f}]")
        out.append("")
    if result["churn"]:
        still, changing = median(result["churn"]["still"]), median(result["churn"]["changing"])
        out += [
            f"## {CHURN_RATE} discovery changes per second, {CHURN_POOLS} pools of {CHURN_NODES} nodes",
            "",
            f"p99.9 while nothing changes {still:.2f} ms, while node sets change {changing:.2f} ms"
            f": {max(changing - still, 0):.2f} ms more{verdict(max(changing - still, 0), CHURN_TARGET_MS)}.",
            "",
        ]
    return out
