"""Rules about which candidates may be given out."""
