"""Python imports this module at the start of every process that finds it on PYTHONPATH."""

import loopback_hook

loopback_hook.watch()
