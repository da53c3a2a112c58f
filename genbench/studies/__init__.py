"""Studies: published numbers beside measured ones, faults that metrics detect, growth of cost with size."""
