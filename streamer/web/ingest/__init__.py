"""Protocols that bring audio from the network, one file each."""
