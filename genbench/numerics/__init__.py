"""Mathematics that knows no model: ODEs, optimal transport, importance weights."""
