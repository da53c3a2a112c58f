"""Many runs: suites, executors, progress."""
