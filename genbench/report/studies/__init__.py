"""Reports that are not tables of a suite: calibration, published claims, scaling."""
