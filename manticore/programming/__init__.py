"""The stage `program`: mixture weights from MAD tasks, combined and carried to a target."""
