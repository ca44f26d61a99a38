"""The HTTP service: answers from the run that serves, for programs and pages. Needs the extra `service`."""
