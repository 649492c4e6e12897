"""What the service measures of itself: `docs/metrics.md` says what each figure means."""
