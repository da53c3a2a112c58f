"""Autoregressive transformer flows: TARFlow and STARFlow."""
