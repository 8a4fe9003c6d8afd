"""The Gradio app: a viewer over run folders, one file per tab, no maths."""
