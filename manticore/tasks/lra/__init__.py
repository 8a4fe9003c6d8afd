"""The tasks of Long Range Arena (arXiv 2011.04006), one file each.

Synthetic ones are generated as published. The others have data of their own on the Hugging Face
hub, and a stand-in that needs no network: an easier task of the same kind, whose results compare
with no published ones.
"""
