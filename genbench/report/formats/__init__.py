"""Formats of a report: terminal, Markdown, HTML."""
