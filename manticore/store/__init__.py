"""The run folder: its layout, lock, events and status. Nothing here needs torch."""
