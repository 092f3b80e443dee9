"""Tools around fqat-opt for those who work in Python."""
