"""The servers that are measured: how each is installed, started and spoken to."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import machine

PERF = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(PERF)
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
RELEASE = os.path.join(TARGET, "release")
WORK = os.path.join(TARGET, "perf")


class Absent(Exception):
    """Why a peer is not there."""


def sh(*command, cwd=None, env=None):
    """Runs a command to its end; what it said, if it failed."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, text=True, timeout=900,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise Absent(f"{command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Absent(f"{' '.join(command[:3])}: no end after 15 minutes") from error
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise Absent(f"{' '.join(command[:3])}: {last}")


updated = False


def apt(*names):
    """Installs Debian packages that are missing."""
    global updated
    missing = [name for name in names if not machine.package(name)]
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not updated:
        sh(*root, "apt-get", "update", "-qq")
        updated = True
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    sh(*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)


class Peer:
    """One server."""

    subscribe = "/ws?channel={channel}"
    publish = "/pub?channel={channel}"

    def __init__(self, name, title, command, install=None, version=None):
        self.name, self.title, self.command = name, title, command
        self.install_with, self.version_of = install, version
        self.absent = None
        self.version = None

    def install(self):
        """Makes it ready to run, or notes why it is absent."""
        try:
            if self.install_with:
                self.install_with()
            self.version = self.version_of() if self.version_of else None
        except Absent as why:
            self.absent = str(why)


class Fanfare(Peer):
    subscribe = publish = "/ws?echo=false&channel={channel}"


class Server:
    """A started peer; ends with the `with` block."""

    def __init__(self, peer, cores, extra=()):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        os.makedirs(WORK, exist_ok=True)
        self.log = os.path.join(WORK, f"{peer.name}.log")
        command = ["taskset", "-c", cores, *peer.command(self.port), *extra]
        env = {**os.environ, "GOMAXPROCS": str(len(cores.split(",")))}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )
        self.wait()

    def wait(self):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                # What starting up left behind should not count as the first connection's.
                time.sleep(0.3)
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        self.end()
        with open(self.log) as log:
            raise RuntimeError(f"it does not start: {log.read().strip()[-400:]}")

    def pids(self):
        """Its process and all below it."""
        found, at = [self.process.pid], 0
        while at < len(found):
            with open(f"/proc/{found[at]}/task/{found[at]}/children") as children:
                found += [int(pid) for pid in children.read().split()]
            at += 1
        return found

    def end(self):
        for pid in reversed(self.pids() if self.process.poll() is None else []):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def binary(name):
    return os.path.join(RELEASE, name)


def install_gorilla():
    apt("golang-go", "golang-github-gorilla-websocket-dev")
    os.makedirs(WORK, exist_ok=True)
    # Debian's own copy of the library, no network.
    env = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    source = os.path.join(PERF, "peers", "gorilla")
    sh("go", "build", "-o", os.path.join(WORK, "gorilla-hub"), "main.go", cwd=source, env=env)


def install_ws():
    if not shutil.which("node"):
        apt("nodejs")
    if not shutil.which("npm"):
        apt("npm")
    place = os.path.join(WORK, "ws")
    shutil.copytree(os.path.join(PERF, "peers", "ws"), place, dirs_exist_ok=True)
    if not os.path.isdir(os.path.join(place, "node_modules", "ws")):
        sh("npm", "install", "--no-audit", "--no-fund", "--silent", cwd=place)


def ws_version():
    with open(os.path.join(WORK, "ws", "node_modules", "ws", "package.json")) as package:
        version = json.load(package)["version"]
    return f"{version}, Node.js {machine.output('node', '--version')}"


def install_nchan():
    apt("nginx-light", "libnginx-mod-nchan")
    # The one that the package starts is not wanted, and may hold port 80.
    place = os.path.join(WORK, "nchan")
    os.makedirs(place, exist_ok=True)
    if not os.path.exists("/usr/lib/nginx/modules/ngx_nchan_module.so"):
        raise Absent("libnginx-mod-nchan: the module is not where it should be")


def nchan_command(port):
    place = os.path.join(WORK, "nchan")
    with open(os.path.join(PERF, "peers", "nchan", "nginx.conf.in")) as template:
        text = template.read().replace("@PORT@", str(port)).replace("@DIR@", place)
    # Workers started by root become nobody, who may not enter a home directory.
    if os.geteuid() == 0:
        text = "user root;\n" + text
    path = os.path.join(place, "nginx.conf")
    with open(path, "w") as config:
        config.write(text)
    return ["/usr/sbin/nginx", "-p", place, "-c", path, "-e", os.path.join(place, "error.log")]


def crate(name):
    """The version of a crate in the lock file."""
    version = None
    with open(os.path.join(ROOT, "Cargo.lock")) as lock:
        lines = lock.read().splitlines()
    for line, after in zip(lines, lines[1:]):
        if line == f'name = "{name}"':
            version = after.split('"')[1]
    return version


def all_peers():
    """Every server, Fanfare and the floor first."""
    serve = lambda port: [binary("fanfare"), "serve", "--listen", f"127.0.0.1:{port}"]
    floor = lambda mode: lambda port: [binary("floor"), str(port), mode]
    rust = lambda name: lambda port: [binary(name), str(port)]
    return [
        Fanfare("fanfare", "Fanfare", serve, version=lambda: crate("fanfare")),
        Peer("floor", "bare send loop", floor("each")),
        Peer("floor-coalesce", "coalescing loop", floor("coalesce")),
        Peer("nchan", "nginx + nchan", nchan_command, install_nchan,
             lambda: machine.package("libnginx-mod-nchan")),
        Peer("axum", "axum + tokio broadcast", rust("axum-broadcast"),
             version=lambda: crate("axum")),
        Peer("tungstenite", "tokio-tungstenite hub", rust("tungstenite-hub"),
             version=lambda: crate("tokio-tungstenite")),
        Peer("ws", "ws on Node.js",
             lambda port: ["node", os.path.join(WORK, "ws", "hub.mjs"), str(port)], install_ws,
             ws_version),
        Peer("gorilla", "gorilla/websocket hub",
             lambda port: [os.path.join(WORK, "gorilla-hub"), str(port)], install_gorilla,
             lambda: machine.package("golang-github-gorilla-websocket-dev") + ", "
             + (machine.output("go", "version") or "").removeprefix("go version ")),
    ]
