"""Reading what is kept: tables of records, status, maintenance."""
