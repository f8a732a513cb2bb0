"""The fixtures of a service over a scripted student."""

from service_fixtures import client, keyed, make_service

__all__ = ["client", "keyed", "make_service"]
