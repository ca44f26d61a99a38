"""What a recall stage reaches on held-out data: each channel, their fusion, what each adds, and two runs compared."""
