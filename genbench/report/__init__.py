"""Reports: tables and figures from kept records."""
