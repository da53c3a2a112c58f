"""The layouts of released weights: how the parameters of published networks are called and ordered here."""
