"""Mathematics that knows no model: ODE solvers, optimal transport, importance weights."""
