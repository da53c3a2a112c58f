"""Couplings pair a batch of noise with a batch of data.

A coupling reorders the noise or weights the pairs; only semidiscrete transport replaces the data.

Given labels, a coupling pairs within each class; otherwise the noise of a class-conditional model would depend on the
class. Continuous conditions are the last coordinates of a sample. Each noise sample copies the conditions of the data
sample that it was drawn with, so conditions are part of the cost of a plan; exact plans weight them.
"""
