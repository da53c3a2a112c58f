"""Couplings pair a batch of noise with a batch of data.

A coupling reorders the noise or weights the pairs; only semidiscrete transport replaces the data.

Given labels, a coupling pairs within each class: otherwise the source of a class-conditional model would have to depend
on the class. Continuous conditions are the last coordinates of a sample. Noise carries the conditions of the data that
it was drawn with. Conditions are therefore part of the cost of a plan, and exact plans weight them.
"""
