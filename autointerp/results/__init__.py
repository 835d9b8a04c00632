"""What does a run leave behind? Tables, an AnnData of latents and a report."""
