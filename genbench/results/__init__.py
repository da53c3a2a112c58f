"""Saved results: tables of records, status, maintenance."""
