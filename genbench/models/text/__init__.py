"""Text conditioning: captions to vectors."""
