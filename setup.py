"""Finds the packages: `src/` is imported as `stillroom`, which pyproject.toml cannot express."""

from setuptools import find_packages, setup

setup(packages=["stillroom", *(f"stillroom.{name}" for name in find_packages("src"))])
