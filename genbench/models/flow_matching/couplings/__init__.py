"""Couplings: how a batch of noise is paired with a batch of data. They move or weight
noise; only semidiscrete transport moves data.

Given labels, a coupling pairs within each class: a class-conditional model trained on pairs across classes would have
to start from a source that depends on the class. Real conditions are the last coordinates of samples, and noise carries
those of the data that it was drawn with, so that they are part of the cost of a plan; exact plans weight them.
"""
