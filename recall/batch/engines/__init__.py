"""What answers the parts of a batch: processes of this machine, Ray Data, or Spark."""
