"""The suites that ship with genbench, one TOML file each."""
