"""The search for better hyper-parameters: one study for each channel, measured on the validation part alone."""
