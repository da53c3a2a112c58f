"""Couplings: pairings of a batch of noise with a batch of data. They move or weight noise; only semidiscrete transport
moves data.

Given labels, a coupling pairs within each class: otherwise the source of a class-conditional model would have to depend
on the class. Real conditions are the last coordinates of samples. Noise carries the conditions of the data that it was
drawn with. Conditions are therefore part of the cost of a plan; exact plans weight them.
"""
