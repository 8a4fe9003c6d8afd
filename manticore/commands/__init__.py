"""The commands of `manticore`, by subject: one file each."""
