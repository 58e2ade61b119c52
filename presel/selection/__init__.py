"""The arithmetic of the method: arrays in, arrays out, no input and no output."""
