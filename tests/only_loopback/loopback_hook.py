"""Refuse connections to other machines, and write down who tried.

The tests' conftest and, through `sitecustomize`, every Python process that a test starts call
`watch`. What was tried is written to the file that `FILE` names, one JSON object per line; the test
that is running fails then, even if the program has caught the error.
"""

import os
import sys

FILE = "STILLROOM_TEST_CONNECTIONS"
"""Environment variable: the file of what was tried. Without it nothing is watched."""
_TO_ADDRESS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_TO_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_WATCHED = _TO_ADDRESS | _TO_NAME


def is_here(host):
    """Tell whether a host name or address is this machine's own."""
    import ipaddress
    import socket

    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _host(event, arguments):
    """Give the host that an audit event is about; None for one that leaves no machine."""
    import socket

    if event in _TO_NAME:
        return arguments[0]
    made, address = arguments
    return address[0] if address and made.family in (socket.AF_INET, socket.AF_INET6) else None


def _refuse(event, arguments):
    if event not in _WATCHED:
        return
    host = _host(event, arguments)
    if is_here(host):
        return
    import json
    import traceback

    told = {
        "event": event,
        "host": str(host),
        "program": sys.argv,
        "stack": traceback.format_stack(sys._getframe(1), 12),
    }
    with open(os.environ[FILE], "a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    raise ConnectionRefusedError(f"a test reaches for {host!r}; only loopback is allowed")


def watch():
    """Watch this process from now on, where `FILE` is set."""
    if FILE in os.environ:
        sys.addaudithook(_refuse)
