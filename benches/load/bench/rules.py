"""Contenders with rules: Tidegate with TrafficScript, and what other proxies have for the same work.

R1 is a response rule of two lines. R2 routes by host and path: 20 tests one behind the other, of which the last holds for
everything that is measured; the pools of the others answer with their port, which proves where each test leads.
"""

import http.client
import socket

from . import contenders, machine

CONNECTIONS = 64
# Pools that the tests before the last one lead to, in turn.
OTHER_POOLS = 3
# What is tested: the host, or the beginning of the path.
TESTS = [
    ("host", f"shop-{number}.bench.test") if number % 2 else ("path", f"/section-{number}/") for number in range(1, 20)
]
# It holds for all bodies of the bench.
LAST = ("path", "/1")
# Nothing holds: the pool of the virtual server.
NOWHERE = "/elsewhere"

# Name -> what it is, contenders.
WORK = {
    "R1": ("two-line response rule, keep-alive GET, 128 B", ("tidegate", "tidegate-rule")),
    "R2": (
        "20 tests of host and path, keep-alive GET, 128 B",
        ("tidegate", "tidegate-routing", "nginx-routing", "haproxy-routing", "haproxy-lua"),
    ),
}
# The contender that is looked at, and the most allowed ratio to others.
MEASURED = {"R1": "tidegate-rule", "R2": "tidegate-routing"}
TARGETS = {
    "R1": {"tidegate": 1.08},
    "R2": {"tidegate": 1.10, "nginx-routing": 1.0, "haproxy-routing": 1.0, "haproxy-lua": 1.0},
}

RESPONSE_RULE = """http.setResponseHeader( "X-Served-Via", sys.hostname() );
http.setResponseHeader( "X-Response-Time", stats.getServerResponseTime() );
"""


def pool_of(number):
    """Name of the pool that a test leads to, by its place in `TESTS`."""
    return f"other-{number % OTHER_POOLS}"


def other_pools(setting):
    """Name and nodes of every pool."""
    return [("pool", setting.node_ports), *((pool_of(i), [port]) for i, port in enumerate(setting.other_ports))]


def routes():
    """What is tested, the text, and the pool, in the order of the tests."""
    return [*((kind, text, pool_of(number)) for number, (kind, text) in enumerate(TESTS)), (*LAST, "pool")]


# ---------------------------------------------------------------------------------------------------- Tidegate


def routing_rule():
    test = {
        "host": '$host == "{}"',
        "path": 'string.startsWith( $path, "{}" )',
    }
    lines = [f'if( {test[kind].format(text)} ) {{\n   pool.use( "{pool}" );\n}}' for kind, text, pool in routes()]
    return "$host = http.getHostHeader();\n$path = http.getPath();\n" + " else ".join(lines) + "\n"


def start_tidegate(setting, name, pool, text, phase):
    (plain,) = machine.free_ports(1)
    base = setting.folder / name
    pools = [
        contenders.static_pool(pool_name, [f"127.0.0.1:{port}" for port in ports])
        for pool_name, ports in other_pools(setting)
    ]
    server = contenders.virtual_server("plain", plain, pool, **{phase: ["rule"]})
    contenders.write_documents(base, setting.folder, [server], pools, [("rule", text)])
    process = contenders.run_tidegate(setting.tidegate, name, setting.folder, base, setting.proxy_cpu)
    return contenders.Contender(name, contenders.tidegate_version(setting.tidegate), process, plain, 0)


# ---------------------------------------------------------------------------------------------------- others


def start_nginx(setting):
    """By server name and location, which nginx looks up: its documentation advises against `if`."""
    (plain,) = machine.free_ports(1)

    def location(text, pool):
        return f"    location {text} {{\n      proxy_pass http://{pool};{contenders.PROXY_PASS}    }}\n"

    servers = "".join(contenders.upstream(name, ports) for name, ports in other_pools(setting))
    for kind, text, pool in routes():
        if kind == "host":
            servers += f"  server {{\n    listen 127.0.0.1:{plain};\n    server_name {text};\n{location('/', pool)}  }}\n"
    servers += f"  server {{\n    listen 127.0.0.1:{plain} default_server backlog=4096;\n"
    servers += "".join(location(text, pool) for kind, text, pool in routes() if kind == "path")
    servers += location("/", pool_of(0)) + "  }\n"
    file = setting.folder / "nginx-routing.conf"
    file.write_text(contenders.nginx_frame(setting.folder, "nginx-routing", servers))
    process = machine.Process("nginx-routing", ["nginx", "-c", file], setting.proxy_cpu, setting.folder)
    return contenders.Contender("nginx-routing", contenders.nginx_version(), process, plain, 0)


def start_haproxy(setting, name, choice, globals=""):
    (plain,) = machine.free_ports(1)
    front = f"  bind 127.0.0.1:{plain} backlog 4096\n{choice}  default_backend {pool_of(0)}\n"
    backends = "".join(contenders.backend(pool, ports) for pool, ports in other_pools(setting))
    configuration = contenders.haproxy_frame(front, backends, globals)
    process, version = contenders.run_haproxy(name, setting.folder, setting.proxy_cpu, configuration)
    return contenders.Contender(name, version, process, plain, 0)


def start_haproxy_routing(setting):
    test = {"host": "hdr(host) -i {}", "path": "path_beg {}"}
    choice = "".join(f"  use_backend {pool} if {{ {test[kind].format(text)} }}\n" for kind, text, pool in routes())
    return start_haproxy(setting, "haproxy-routing", choice)


def start_haproxy_lua(setting):
    test = {"host": 'host == "{}"', "path": 'path:sub(1, {}) == "{}"'}
    lines = []
    for kind, text, pool in routes():
        condition = test[kind].format(*((text,) if kind == "host" else (len(text), text)))
        lines.append(f'if {condition} then\n    return "{pool}"\n  ')
    (setting.folder / "route.lua").write_text(
        'core.register_fetches("route", function(txn)\n  local host = txn.sf:req_hdr("host")\n'
        f"  local path = txn.sf:path()\n  {'else'.join(lines)}end\n"
        f'  return "{pool_of(0)}"\nend)\n'
    )
    choice = "  use_backend %[lua.route]\n"
    return start_haproxy(setting, "haproxy-lua", choice, f"  lua-load {setting.folder}/route.lua\n")


STARTERS = {
    "tidegate-rule": lambda setting: start_tidegate(setting, "tidegate-rule", "pool", RESPONSE_RULE, "response_rules"),
    "tidegate-routing": lambda setting: start_tidegate(
        setting, "tidegate-routing", pool_of(0), routing_rule(), "request_rules"
    ),
    "nginx-routing": start_nginx,
    "haproxy-routing": start_haproxy_routing,
    "haproxy-lua": start_haproxy_lua,
}


# ---------------------------------------------------------------------------------------------------- proof


def ask(port, path, host):
    """Header fields and body of a response, which has to be a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise machine.Unusable(f"{host}{path} was answered with {response.status}")
        return response.headers, body
    finally:
        connection.close()


def prove(name, one, other_ports):
    """The rule does its work: the fields it adds are there, each test leads to its pool."""
    if name == "tidegate-rule":
        fields, _ = ask(one.plain, "/128", "bench.test")
        via, taken = fields.get("X-Served-Via"), fields.get("X-Response-Time") or ""
        if via != socket.gethostname().partition(".")[0] or not taken.isdigit():
            raise machine.Unusable(f"{name} adds X-Served-Via {via!r} and X-Response-Time {taken!r}")
    elif name in STARTERS:
        wanted = [(text, "/x", number) if kind == "host" else ("bench.test", f"{text}x", number)
                  for number, (kind, text) in enumerate(TESTS)]
        for host, path, number in [*wanted, ("bench.test", NOWHERE, 0)]:
            port = other_ports[number % OTHER_POOLS]
            _, body = ask(one.plain, path, host)
            if body != str(port).encode():
                raise machine.Unusable(f"{name} takes {host}{path} to {body[:20]!r}, not to the node at {port}")
        for path, length in contenders.SIZES.items():
            _, body = ask(one.plain, path, "bench.test")
            if len(body) != length:
                raise machine.Unusable(f"{name} answers {path} with {len(body)} bytes instead of {length}")
