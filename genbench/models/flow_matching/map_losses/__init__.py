"""What flow maps learn: one file for each loss."""
