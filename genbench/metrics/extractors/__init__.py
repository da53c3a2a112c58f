"""Extractors: networks that turn raw images into features, each with the resizing and the weights of a protocol."""
