"""What people look at: figures, words, the terminal and the notebook."""
