"""Settings: the tree, its loading from files, environment and command line, and the files that are shipped."""
