"""Models of latents, and the encoders they work in."""
