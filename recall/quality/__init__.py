"""What a run is worth: measurements on held-out data, and the gate before it may serve."""
