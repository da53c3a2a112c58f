"""Mathematics independent of models: ODEs, optimal transport, importance weights."""
