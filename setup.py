"""Maps the repository's top-level folders ("rooms") to sub-packages of `bottega`; all else is in pyproject.toml."""

from setuptools import find_packages, setup

ROOMS = ["core", "models", "tools", "retrieval", "agents", "graphs", "servers"]

folders = {"bottega": "bottega"}
folders |= {f"bottega.{name}": f"bottega/{name.replace('.', '/')}" for name in find_packages("bottega")}
folders |= {
    f"bottega.{name}": name.replace(".", "/")
    for room in ROOMS
    for name in [room, *(f"{room}.{sub}" for sub in find_packages(room))]
}

setup(packages=list(folders), package_dir=folders)
