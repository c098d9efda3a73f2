"""What is measured: each scenario starts what it needs, takes its figures round by round, and returns them as values."""

import statistics
import time
from contextlib import contextmanager

from . import contenders, load, machine, rules
from .names import ChangingNames

# Name -> what it is, path, TLS, connections, how it is asked, whether the relay takes part.
WORK = {
    "W1": ("keep-alive GET, 128 B", "/128", False, 64, load.KEEP_ALIVE, True),
    "W2": ("keep-alive GET, 100 KB", "/100k", False, 64, load.KEEP_ALIVE, True),
    "W3": ("new connection per request, 1 KB", "/1k", False, 64, load.CLOSE, False),
    "W4": ("TLS 1.3 keep-alive GET, 1 KB", "/1k", True, 64, load.KEEP_ALIVE, False),
    "W5": ("TLS 1.3 handshake per request, 1 KB", "/1k", True, 32, load.CLOSE, False),
    "W6": ("keep-alive POST of 1 KB as browsers send it, 1 KB in chunks", "/1k-page", False, 64, load.BROWSER, False),
}
# Offered rate of the latency scenario, requests/s, and its connections (20 ms between two requests of one).
RATE, RATE_CONNECTIONS = 10_000, 200
IDLE_CONNECTIONS = 5_000
MANY_NODES = 1_000
# Pools, nodes of each, and changes of node sets per second.
CHURN_POOLS, CHURN_NODES, CHURN_RATE = 500, 20, 50
# Offered rate while node sets change: low enough that the load itself makes no queue on the CPU.
CHURN_OFFERED, CHURN_CONNECTIONS = 2_000, 100
# Pause between two measurements, for what the one before left behind (closing sockets, timers).
PAUSE = 0.3


class Setting:
    """Where and how long things run, and the log of what is no result."""

    def __init__(self, options, folder):
        self.folder = folder
        self.proxy_cpu, self.load_cpu, self.node_cpu = options.proxy_cpu, options.load_cpu, options.node_cpu
        self.rounds, self.seconds = options.rounds, options.seconds
        self.names = options.contenders
        self.tidegate = contenders.tidegate_binary(options.tidegate) if "tidegate" in self.names else None
        self.before = options.before
        ports = machine.free_ports(4 + rules.OTHER_POOLS)
        self.node_ports, self.other_ports = ports[:4], ports[4:]
        self.faults = []
        self.versions = {}

    def fault(self, what, text):
        self.faults.append(f"{what}: {text}")
        print(f"  ! not a result: {what}: {text}", flush=True)

    @contextmanager
    def nodes(self):
        process = contenders.start_nodes(self.folder, self.node_cpu, self.node_ports, self.other_ports)
        try:
            yield process
        finally:
            process.end()

    def start(self, name):
        if name == "tidegate":
            one = contenders.start_tidegate(self.tidegate, self.folder, self.proxy_cpu, self.node_ports)
        elif name == "before":
            binary = contenders.tidegate_binary(self.before)
            one = contenders.start_tidegate(binary, self.folder, self.proxy_cpu, self.node_ports, name)
        elif name in rules.STARTERS:
            one = rules.STARTERS[name](self)
        else:
            one = contenders.STARTERS[name](self.folder, self.proxy_cpu, self.node_ports)
        try:
            for port in filter(None, (one.plain, one.tls)):
                machine.wait_for_port(port, 20, one.process.alive)
        except machine.Unusable:
            one.process.check()
            raise
        self.versions[name] = one.version
        return one

    @contextmanager
    def contest(self, names):
        """The named contenders running side by side, each proven to give the right answers before it is measured."""
        running = {}
        try:
            for name in names:
                running[name] = self.start(name)
            for name, one in running.items():
                prove(one)
                rules.prove(name, one, self.other_ports)
            yield running
        finally:
            for one in running.values():
                one.process.end()


def prove(one):
    """Bodies of the right length over keep-alive, on TLS 1.3 where there is TLS."""
    for port, tls in ((one.plain, False), (one.tls, True)):
        if not port:
            continue
        for path, length in contenders.SIZES.items():
            client = load.IdleClients(port, tls, path)
            try:
                client.add(2)
                version = client.open[0].version() if tls else None
                if client.length != length:
                    raise machine.Unusable(f"{one.name} answers {path} with {client.length} bytes instead of {length}")
                if client.still_open() != 2:
                    raise machine.Unusable(f"{one.name} closes keep-alive connections after {path}")
            finally:
                client.close()
            if tls and version != "TLSv1.3":
                raise machine.Unusable(f"{one.name} speaks {version}, not TLSv1.3")


def cpu_per_request(setting, work):
    """CPU microseconds per request of every contender, round by round: {name: [figure, …]}."""
    title, path, tls, connections, manner, with_relay = WORK[work]
    names = [name for name in setting.names if name != "relay" or with_relay]
    print(f"{work}: {title}, {connections} connections, {setting.rounds} rounds of {setting.seconds} s", flush=True)
    return in_turn(setting, work, names, (path, tls, connections, manner))


def rules_cost(setting, work):
    """The same of Tidegate with and without rules, and of what other proxies have in place of rules."""
    title, names = rules.WORK[work]
    names = [name for name in names if name.partition("-")[0] in setting.names]
    print(f"{work}: {title}, {setting.rounds} rounds of {setting.seconds} s", flush=True)
    return in_turn(setting, work, names, ("/128", False, rules.CONNECTIONS, load.KEEP_ALIVE))


def in_turn(setting, work, names, asked):
    """Rounds in which each contender has its turn under the same closed loop: (path, TLS, connections, manner)."""
    path, tls, connections, manner = asked
    figures = {name: [] for name in names}
    with setting.nodes(), setting.contest(names) as running:
        for name, one in running.items():
            load.closed_loop(one.url(path, tls), connections, 1, manner, setting.load_cpu)
        for _ in range(setting.rounds):
            for name, one in running.items():
                time.sleep(PAUSE)
                before = one.process.cpu_ns()
                count, rate, wrong = load.closed_loop(
                    one.url(path, tls), connections, setting.seconds, manner, setting.load_cpu
                )
                used = one.process.cpu_ns() - before
                one.process.check()
                if wrong:
                    setting.fault(f"{work} {name}", wrong)
                figures[name].append(used / 1e3 / max(count, 1))
                print(f"  {name:16} {figures[name][-1]:8.2f} us/request  {rate:9.0f} requests/s", flush=True)
    return figures


def latency(setting):
    """p99 and p50 at the same offered rate, milliseconds, round by round: {name: [(p50, p99), …]}."""
    print(f"latency at {RATE} requests/s, {setting.rounds} rounds of {setting.seconds} s", flush=True)
    names = [name for name in setting.names if name != "haproxy-splice"]
    figures = {name: [] for name in names}
    with setting.nodes(), setting.contest(names) as running:
        for round_number in range(setting.rounds + 1):
            for name, one in running.items():
                time.sleep(PAUSE)
                seconds = setting.seconds if round_number else 1
                taken, wrong = load.open_loop(
                    one.url("/128", False), RATE, RATE_CONNECTIONS, seconds, setting.load_cpu, setting.folder, 0.99
                )
                one.process.check()
                if not round_number:
                    continue
                if wrong:
                    setting.fault(f"latency {name}", wrong)
                figures[name].append((load.quantile(taken, 0.5), load.quantile(taken, 0.99)))
                print(f"  {name:15} p50 {figures[name][-1][0]:6.2f} ms  p99 {figures[name][-1][1]:6.2f} ms", flush=True)
    return figures


def idle_memory(setting):
    """Bytes of memory per idle client connection: {name: {"plain": …, "tls": …}}. Each contender on its own."""
    print(f"memory of {IDLE_CONNECTIONS} idle connections", flush=True)
    figures = {}
    with setting.nodes():
        for name in setting.names:
            if name in ("relay", "haproxy-splice"):
                continue
            figures[name] = {}
            for kind, tls in (("plain", False), ("tls", True)):
                with setting.contest([name]) as running:
                    one = running[name]
                    clients = load.IdleClients(one.tls if tls else one.plain, tls)
                    try:
                        # What is allocated once for all is not part of the figure.
                        clients.add(200)
                        before = load.settled(one.process.memory)
                        clients.add(IDLE_CONNECTIONS)
                        after = load.settled(one.process.memory)
                        kept = clients.still_open()
                    finally:
                        clients.close()
                if kept < IDLE_CONNECTIONS + 200:
                    setting.fault(f"memory {name} {kind}", f"{IDLE_CONNECTIONS + 200 - kept} connections were closed")
                figures[name][kind] = (after - before) / IDLE_CONNECTIONS
                print(f"  {name:15} {kind:5} {figures[name][kind]:8.0f} B per connection", flush=True)
    return figures


def many_nodes(setting):
    """CPU per request with 1,000 nodes in a pool and with four: {"tidegate": {"4": […], "1000": […]}, "haproxy": …}."""
    print(f"a pool of {MANY_NODES} nodes against one of 4", flush=True)
    port = setting.node_ports[0]
    pools = {
        "4": [f"127.0.0.1:{one}" for one in setting.node_ports],
        str(MANY_NODES): [f"127.1.{i // 250}.{1 + i % 250}:{port}" for i in range(MANY_NODES)],
    }
    starts = {"tidegate": start_tidegate_pools, "haproxy": start_haproxy_pools}
    figures = {contender: {pool: [] for pool in pools} for contender in starts}
    running = {}
    with setting.nodes():
        try:
            for contender, start in starts.items():
                running[contender] = start(setting, pools)
            for round_number in range(setting.rounds + 1):
                for contender, (process, ports) in running.items():
                    for pool, port in ports.items():
                        used = one_pool(setting, process, port, f"{contender}, {pool} nodes", not round_number)
                        if round_number:
                            figures[contender][pool].append(used)
                            print(f"  {contender:10} {pool:>5} nodes {used:8.2f} us/request", flush=True)
        finally:
            for process, _ in running.values():
                process.end()
    return figures


def start_tidegate_pools(setting, pools):
    """Tidegate with a virtual server for each pool: the process, and the port of each."""
    ports = dict(zip(pools, machine.free_ports(len(pools))))
    base = setting.folder / "many"
    servers = [contenders.virtual_server(name, port, name) for name, port in ports.items()]
    documents = [contenders.static_pool(name, nodes) for name, nodes in pools.items()]
    contenders.write_documents(base, setting.folder, servers, documents)
    process = contenders.run_tidegate(setting.tidegate, "tidegate-many", setting.folder, base, setting.proxy_cpu)
    return process, ports


def start_haproxy_pools(setting, pools):
    """HAProxy with a backend for each pool: the process, and the port of each."""
    ports = dict(zip(pools, machine.free_ports(len(pools))))
    front = "".join(f"  bind 127.0.0.1:{port} backlog 4096\n" for port in ports.values())
    front += "".join(f"  use_backend nodes-{name} if {{ dst_port {port} }}\n" for name, port in ports.items())
    backends = "".join(contenders.backend(f"nodes-{name}", nodes) for name, nodes in pools.items())
    configuration = contenders.haproxy_frame(front, backends)
    process, _ = contenders.run_haproxy("haproxy-many", setting.folder, setting.proxy_cpu, configuration)
    return process, ports


def one_pool(setting, process, port, what, warming):
    """Microseconds of CPU per request through a port; while warming, nothing is held against it."""
    time.sleep(PAUSE)
    before = process.cpu_ns()
    seconds = 2 if warming else setting.seconds
    count, _, wrong = load.closed_loop(f"http://127.0.0.1:{port}/128", 64, seconds, load.KEEP_ALIVE, setting.load_cpu)
    used = process.cpu_ns() - before
    process.check()
    if wrong and not warming:
        setting.fault(what, wrong)
    return used / 1e3 / max(count, 1)


def churn(setting):
    """p99.9 of Tidegate in milliseconds with still and with changing node sets: {"still": […], "changing": […]}.

    500 pools of 20 nodes, all discovered; 50 changes of a node set per second. The load goes through ten of the pools. Two
    DNS servers, one after the other, since a set that stands still is what the change is compared with.
    """
    print(f"{CHURN_POOLS} pools of {CHURN_NODES} nodes, {CHURN_RATE} changes/s", flush=True)
    figures = {}
    for kind, rate in (("still", 0), ("changing", CHURN_RATE)):
        names = ChangingNames(CHURN_POOLS, CHURN_NODES, rate)
        base = setting.folder / f"churn-{kind}"
        pools = [
            contenders.discovered_pool(f"pool-{i}", f"pool-{i}.bench.test", setting.node_ports[0], names.port)
            for i in range(CHURN_POOLS)
        ]
        # Every pool is used by a virtual server; the load goes to one of them.
        ports = machine.free_ports(CHURN_POOLS)
        servers = [contenders.virtual_server(f"server-{i}", port, f"pool-{i}") for i, port in enumerate(ports)]
        contenders.write_documents(base, setting.folder, servers, pools)
        figures[kind] = []
        try:
            with setting.nodes():
                process = contenders.run_tidegate(
                    setting.tidegate, f"tidegate-{kind}", setting.folder, base, setting.proxy_cpu
                )
                try:
                    for round_number in range(setting.rounds + 1):
                        asked = names.asked
                        began = time.monotonic()
                        taken, wrong = load.open_loop(
                            f"http://127.0.0.1:{ports[round_number % CHURN_POOLS]}/128",
                            CHURN_OFFERED, CHURN_CONNECTIONS, setting.seconds, setting.load_cpu, setting.folder, 0.999,
                        )
                        process.check()
                        questions = (names.asked - asked) / (time.monotonic() - began)
                        if not round_number:
                            continue
                        if wrong:
                            setting.fault(f"churn {kind}", wrong)
                        if rate and questions < CHURN_POOLS / 20:
                            setting.fault(f"churn {kind}", f"only {questions:.0f} DNS questions/s were asked")
                        figures[kind].append(load.quantile(taken, 0.999))
                        print(f"  {kind:9} p99.9 {figures[kind][-1]:6.2f} ms, {questions:.0f} DNS questions/s", flush=True)
                finally:
                    process.end()
        finally:
            names.close()
    return figures


def median(figures):
    return statistics.median(figures) if figures else float("nan")


def ratio(figures, name, other):
    """Median of the ratios of the same rounds, and their span."""
    if not figures.get(name) or not figures.get(other):
        return None
    ratios = [a / b for a, b in zip(figures[name], figures[other]) if b]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None
