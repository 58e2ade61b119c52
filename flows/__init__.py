"""The flows: what runs, in which order. Each reads as the method; policy is in `tasks`, work in `presel.stages`."""
