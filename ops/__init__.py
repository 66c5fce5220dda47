"""What runs: the nightly job, the build, publication, release and the command line."""
