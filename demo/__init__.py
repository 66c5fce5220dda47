"""A synthetic hospital network, written into operational databases with its planted truth."""
