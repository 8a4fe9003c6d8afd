"""The notebooks of the workshop; `manticore notebook NAME` copies one to work in."""
