"""A PostgreSQL server of Debian's for the tests: in a temporary folder, on a socket of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest


def find_binary(name):
    """Find a program of the server's, as packages for Debian and others install it."""
    folders = [*sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True), "/usr/local/bin"]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))


def unprivileged():
    """Give what makes a subprocess run as another user, since the server refuses to be root."""
    if os.geteuid() != 0:
        return {}, None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}, user
    pytest.skip("PostgreSQL will not run as root, and there is no user postgres or nobody")


@contextmanager
def running_postgres():
    """Run a server; give the URL of its first database."""
    pytest.importorskip("psycopg_pool", reason="psycopg is not installed: stillroom[postgres]")
    initdb, postgres = find_binary("initdb"), find_binary("postgres")
    if not initdb or not postgres:
        pytest.skip("no PostgreSQL server on this machine: apt-get install postgresql")
    options, user = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="stillroom-pg-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
        made = [initdb, "-D", data, "-A", "trust", "-U", "tester", "--no-sync", "-E", "UTF8"]
        subprocess.run(made, check=True, **quiet, **options)
        settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off"]
        command = [postgres, "-D", data]
        for setting in settings:
            command += ["-c", setting]
        with subprocess.Popen(command, **quiet, **options) as server:
            try:
                url = f"postgresql://tester@/postgres?host={folder}"
                _await_answer(url, server)
                yield url
            finally:
                server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
                server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url, name):
    """Make an empty database; give its URL."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.replace("/postgres?", f"/{name}?")


def _await_answer(url, server, seconds=30):
    import psycopg

    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
