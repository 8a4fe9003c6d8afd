"""The one thing that pyproject.toml cannot say: folders that are installed under another name.

`app/`, `assets/` and `notebooks/` lie at the top of the tree, but names as common as these would
collide with other people's folders, so they are installed as `manticore_app` and so on.
"""

from setuptools import find_packages, setup

INSTALLED_AS = {f"manticore_{folder}": folder for folder in ("app", "assets", "notebooks")}

packages = find_packages(include=["manticore", "manticore.*"])
for name, folder in INSTALLED_AS.items():
    packages += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]

setup(packages=packages, package_dir=INSTALLED_AS)
