"""Toy models, data and records that the tests of several packages share; what one package needs is in its conftest."""
