"""Judges documents and tables: readers, profiles, filters, gates. Knows no Dagster and no torch."""
