"""Programs that made what ships with the package."""
