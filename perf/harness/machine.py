"""The machine that figures come from."""

import datetime
import os
import platform
import subprocess


def output(*command):
    """The first line that a command prints, or None if it cannot be run or says that it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text and done.returncode == 0 else None


def package(name):
    """The version of an installed Debian package."""
    return output("dpkg-query", "-W", "-f", "${Version}", name)


def field(path, name):
    with open(path) as lines:
        for line in lines:
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return None


def describe(root):
    """Everything that a reader needs to judge the figures."""
    memory_kib = int((field("/proc/meminfo", "MemTotal") or "0").split()[0])
    commit = output("git", "-C", root, "rev-parse", "--short", "HEAD")
    changed = output("git", "-C", root, "status", "--porcelain", "--untracked-files=no")
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / (1 << 20)),
        "virtual": "hypervisor" in (field("/proc/cpuinfo", "flags") or ""),
        "kernel": platform.release(),
        "rustc": output("rustc", "--version"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": f"{commit} with changes" if changed else commit,
    }


def load_of_others():
    """Runnable tasks in the last minute; before a run it should be near 0."""
    return os.getloadavg()[0]
