"""Duplicate detection: which documents say the same thing."""
