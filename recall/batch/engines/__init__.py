"""What answers the parts of a batch: processes of this machine, or Spark."""
