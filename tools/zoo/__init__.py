"""How the bundled components and their tokenizer were trained."""
