"""How the cells of a sweep are run: jobs, and the processes and machines that take them."""
