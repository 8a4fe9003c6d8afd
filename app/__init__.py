"""The Gradio app: a viewer over run folders, one file per tab, no maths.

It is installed as the package `manticore_app`.
"""

from manticore.extras import require

require("The page", "gradio")
