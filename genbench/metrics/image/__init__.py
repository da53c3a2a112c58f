"""Metrics of images, computed on features."""
