"""The one thing that pyproject.toml cannot say: folders that are installed under another name.

`app/` and `assets/` lie at the top of the tree, but names as common as these would collide with
other people's folders, so they are installed as `manticore_app` and `manticore_assets`.
"""

from setuptools import find_packages, setup

INSTALLED_AS = {"manticore_app": "app", "manticore_assets": "assets"}

packages = find_packages(include=["manticore", "manticore.*"])
for name, folder in INSTALLED_AS.items():
    packages += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]

setup(packages=packages, package_dir=INSTALLED_AS)
