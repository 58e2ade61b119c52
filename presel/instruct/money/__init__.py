"""What answers cost: prices, bounds, and the leases that hold the cap across processes and crashes."""
