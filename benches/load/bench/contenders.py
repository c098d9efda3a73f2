"""The contenders: each with a configuration for one worker that its own documentation recommends for this work.

All of them proxy the same four nodes on a plain and a TLS port, add X-Forwarded-For, keep connections to nodes open and
write no access log. The blind relay is the floor.
"""

import json
import os
import re
from pathlib import Path

from . import machine

SIZES = {"/128": 128, "/1k": 1024, "/100k": 102_400, "/1k-page": 1024}


class Contender:
    """A running proxy: its process and the ports it serves."""

    def __init__(self, name, version, process, plain, tls):
        self.name, self.version, self.process, self.plain, self.tls = name, version, process, plain, tls

    def url(self, path, tls):
        return f"https://127.0.0.1:{self.tls}{path}" if tls else f"http://127.0.0.1:{self.plain}{path}"


def write_certificate(folder):
    """A self-signed ECDSA P-256 certificate, as separate files and as one."""
    machine.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,IP:127.0.0.1",
        "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
    )
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def nginx_frame(folder, name, http):
    """The part of a configuration that nginx as a proxy and as the nodes share."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"  {kind}_temp_path {folder}/{name}-{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user}daemon off;
worker_processes 1;
worker_rlimit_nofile {machine.DESCRIPTORS};
pid {folder}/{name}.pid;
error_log {folder}/{name}.errors crit;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off;
  server_tokens off;
  tcp_nodelay on;
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
{temporary}{http}}}
"""


def start_nodes(folder, cpu, ports, others):
    """Four nodes in one nginx: three bodies from memory, one by sendfile. They listen on all of 127.0.0.0/8, so that a pool
    of a thousand nodes is a thousand addresses. The nodes of other pools answer everything with their port."""
    (folder / "www").mkdir(exist_ok=True)
    (folder / "www" / "100k").write_bytes(os.urandom(SIZES["/100k"]))
    text = {path: ("tidegate" * 128)[: SIZES[path]] for path in ("/128", "/1k", "/1k-page")}
    listens = "".join(f"    listen 0.0.0.0:{port} backlog=4096;\n" for port in ports)
    http = f"""  sendfile on;
  tcp_nopush on;
  reset_timedout_connection on;
  default_type application/octet-stream;
  open_file_cache max=16 inactive=1h;
  server {{
{listens}    root {folder}/www;
    location = /128 {{ return 200 "{text['/128']}"; }}
    location = /1k {{ return 200 "{text['/1k']}"; }}
    # As applications answer: in chunks, with a cookie.
    location = /1k-page {{ ssi on; default_type text/html; add_header Set-Cookie "seen=1; Path=/"; return 200 "{text['/1k-page']}"; }}
    location / {{ }}
  }}
  server {{
{"".join(f"    listen 127.0.0.1:{port};{chr(10)}" for port in others)}    return 200 "$server_port";
  }}
"""
    (folder / "nodes.conf").write_text(nginx_frame(folder, "nodes", http))
    process = machine.Process("nodes", ["nginx", "-c", folder / "nodes.conf"], cpu, folder)
    machine.wait_for_port(ports[0], 5, process.alive)
    return process


# What stands in each location of nginx as a proxy.
PROXY_PASS = """
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffer_size 16k;
      proxy_buffers 8 16k;
      proxy_busy_buffers_size 64k;
      proxy_max_temp_file_size 0;
"""


def upstream(name, nodes):
    """A pool of nginx that keeps its connections."""
    servers = "".join(f"server 127.0.0.1:{port}; " for port in nodes)
    return f"""  upstream {name} {{
    {servers}
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }}
"""


def nginx_version():
    return machine.first_line("nginx", "-v").rpartition("/")[2]


def start_nginx(folder, cpu, nodes):
    plain, tls = machine.free_ports(2)
    http = f"""  ssl_protocols TLSv1.3;
  ssl_certificate {folder}/cert.pem;
  ssl_certificate_key {folder}/key.pem;
  ssl_session_cache shared:sessions:20m;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
{upstream("pool", nodes)}  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl backlog=4096;
    location / {{
      proxy_pass http://pool;{PROXY_PASS}    }}
  }}
"""
    (folder / "nginx.conf").write_text(nginx_frame(folder, "nginx", http))
    process = machine.Process("nginx", ["nginx", "-c", folder / "nginx.conf"], cpu, folder)
    return Contender("nginx", nginx_version(), process, plain, tls)


def haproxy_frame(front, backends, globals=""):
    """A configuration of HAProxy around a frontend's and the backends' own lines."""
    return f"""global
  nbthread 1
  maxconn 7000
  tune.maxpollevents 200
  tune.ssl.cachesize 100000
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
{globals}defaults
  mode http
  no log
  option dontlognull
  option forwardfor
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  timeout http-request 1m
frontend front
{front}{backends}"""


def backend(name, nodes, extra=""):
    """A pool of HAProxy that keeps its connections. Nodes are ports on this machine, or addresses with theirs."""
    addresses = (node if isinstance(node, str) else f"127.0.0.1:{node}" for node in nodes)
    servers = "".join(
        f"  server n{i} {address} pool-max-conn -1 pool-purge-delay 1h\n" for i, address in enumerate(addresses)
    )
    return f"backend {name}\n  balance roundrobin\n{extra}{servers}"


def run_haproxy(name, folder, cpu, configuration):
    (folder / f"{name}.cfg").write_text(configuration)
    process = machine.Process(name, ["haproxy", "-db", "-f", folder / f"{name}.cfg"], cpu, folder)
    return process, machine.first_line("haproxy", "-v").split()[2]


def start_haproxy(folder, cpu, nodes, splice=False):
    name = "haproxy-splice" if splice else "haproxy"
    plain, tls = machine.free_ports(2)
    front = f"""  bind 127.0.0.1:{plain} backlog 4096
  bind 127.0.0.1:{tls} ssl crt {folder}/both.pem backlog 4096
  default_backend pool
"""
    pool = backend("pool", nodes, "  option splice-response\n" if splice else "")
    process, version = run_haproxy(name, folder, cpu, haproxy_frame(front, pool))
    return Contender(name, version, process, plain, tls)


def start_envoy(folder, cpu, nodes):
    binary = machine.envoy()
    plain, tls = machine.free_ports(2)
    extensions = "type.googleapis.com/envoy.extensions"

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def listener(name, port, extra):
        http = {
            "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "HTTP1",
            "use_remote_address": True,
            "generate_request_id": False,
            "server_header_transformation": "PASS_THROUGH",
            "stream_idle_timeout": "0s",
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "pool", "timeout": "0s"}}],
                    }
                ]
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": f"{extensions}.filters.http.router.v3.Router",
                        "dynamic_stats": False,
                        "suppress_envoy_headers": True,
                    },
                }
            ],
        }
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": http}], **extra}
        return {"name": name, "address": address(port), "tcp_backlog_size": 4096, "filter_chains": [chain]}

    secured = {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{extensions}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_3",
                        "tls_maximum_protocol_version": "TLSv1_3",
                    },
                    "tls_certificates": [
                        {
                            "certificate_chain": {"filename": str(folder / "cert.pem")},
                            "private_key": {"filename": str(folder / "key.pem")},
                        }
                    ],
                },
            },
        }
    }
    many = {"max_connections": 65536, "max_pending_requests": 65536, "max_requests": 65536}
    endpoints = [{"endpoint": {"address": address(port)}} for port in nodes]
    cluster = {
        "name": "pool",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "pool", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    resources = {"listeners": [listener("plain", plain, {}), listener("tls", tls, secured)], "clusters": [cluster]}
    (folder / "envoy.json").write_text(json.dumps({"static_resources": resources}))
    words = [binary, "--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c", folder / "envoy.json"]
    process = machine.Process("envoy", words, cpu, folder)
    version = re.search(r"version: [^/]*/(\d+\.\d+\.\d+)", machine.first_line(binary, "--version"))
    return Contender("envoy", version[1] if version else "", process, plain, tls)


def start_relay(folder, cpu, nodes):
    binary = machine.cargo_build("tidegate-benches", "relay")
    (plain,) = machine.free_ports(1)
    return Contender("relay", "", machine.Process("relay", [binary, plain, *nodes], cpu, folder), plain, 0)


# ---------------------------------------------------------------------------------------------------- Tidegate


def virtual_server(name, port, pool, tls=False, **rules):
    """A virtual server that keeps idle clients, as the other contenders are told to. `request_rules=[…]` and the like give
    it rules."""
    sections = {
        "basic": {
            "enabled": True,
            "protocol": "http",
            "port": port,
            "pool": pool,
            "listen_on_any": False,
            "listen_on_hosts": ["127.0.0.1"],
            "ssl_decrypt": tls,
            **rules,
        },
        "connection": {"keepalive": True, "keepalive_timeout": 3600},
    }
    if tls:
        sections["ssl"] = {"server_cert_default": "bench"}
    return {"name": name, "properties": sections}


def static_pool(name, addresses):
    """A pool with what the product does by default for a web application: sessions by cookie, passive monitoring."""
    return {
        "name": name,
        "properties": {
            "basic": {
                "nodes_table": [{"node": address} for address in addresses],
                "passive_monitoring": True,
                "persistence_class": "bench",
            },
            # As the others do: a POST need not have a connection of its own.
            "http": {"keepalive_non_idempotent": True},
        },
    }


def discovered_pool(name, hostname, node_port, dns_port):
    """A pool whose nodes come from DNS, asked as often as the time to live of the answers says."""
    return {
        "name": name,
        "properties": {
            "basic": {"nodes_table": [], "passive_monitoring": True, "persistence_class": "bench"},
            "service_discovery": {
                "enabled": True,
                "plugin": "BuiltIn-DNS_Stateless",
                "plugin_args": f"--hostname={hostname} --port={node_port} --nameserver=127.0.0.1:{dns_port}",
            },
        },
    }


def write_documents(base, folder, servers, pools, rules=()):
    """The base directory of `tidegate run`. Documents may be JSON. Rules are names and texts."""
    (base / "config").mkdir(parents=True, exist_ok=True)
    (base / "data").mkdir(exist_ok=True)
    for name in ("cert.pem", "key.pem"):
        (base / "data" / name).write_bytes((folder / name).read_bytes())
    key = {
        "public": {"valueFrom": {"fileRef": {"name": "data/cert.pem"}}},
        "private": {"valueFrom": {"fileRef": {"name": "data/key.pem"}}},
        "note": "Self-signed, made for one run of the bench",
        "request": "",
    }
    document = {
        "version": 6.2,
        "virtual_servers": servers,
        "pools": pools,
        "rules": [{"name": name, "content": text} for name, text in rules],
        "persistence": [{"name": "bench", "properties": {"basic": {"type": "transparent"}}}],
        "ssl": {"server_keys": [{"name": "bench", "properties": {"basic": key}}]},
    }
    (base / "config" / "bench").write_text(json.dumps(document, indent=1))


def run_tidegate(binary, name, folder, base, cpu):
    """Starts `tidegate run` on one worker and waits until it is ready."""
    (health,) = machine.free_ports(1)
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("TIDEGATE_", "ZEUS_", "KUBERNETES_"))
    }
    clean["TIDEGATE_SESSION_KEY"] = "a key of the bench, which is no secret"
    words = [binary, "run", "--base", base, "--workers", "1", "--health", f"127.0.0.1:{health}"]
    process = machine.Process(name, words, cpu, folder, clean)
    try:
        machine.wait_for_ok(f"http://127.0.0.1:{health}/readyz", 60, process.alive)
    except machine.Unusable as fault:
        tail = process.log.read_text(errors="replace")[-3000:]
        process.end()
        raise machine.Unusable(f"{fault}\nThe last lines of {name}:\n{tail}") from fault
    return process


def start_tidegate(binary, folder, cpu, nodes, name="tidegate"):
    plain, tls = machine.free_ports(2)
    base = folder / name
    servers = [virtual_server("plain", plain, "pool"), virtual_server("tls", tls, "pool", tls=True)]
    write_documents(base, folder, servers, [static_pool("pool", [f"127.0.0.1:{port}" for port in nodes])])
    process = run_tidegate(binary, name, folder, base, cpu)
    return Contender(name, tidegate_version(binary), process, plain, tls)


def tidegate_version(binary):
    return machine.first_line(binary, "version").removeprefix("tidegate").strip()


def tidegate_binary(given):
    return str(Path(given).resolve()) if given else machine.cargo_build("tidegate", "tidegate")


STARTERS = {
    "nginx": start_nginx,
    "haproxy": start_haproxy,
    "haproxy-splice": lambda folder, cpu, nodes: start_haproxy(folder, cpu, nodes, splice=True),
    "envoy": start_envoy,
    "relay": start_relay,
}
