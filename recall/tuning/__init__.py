"""The search for better hyper-parameters on the validation part."""
