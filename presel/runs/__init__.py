"""What a run left behind, read back: its record, its figures per task, and why an image or a task came out as it did."""
