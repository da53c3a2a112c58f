"""Execution of a sweep: jobs, and the processes and machines that take them."""
