"""Fuzzing of what strangers send: recordings, commands over MQTT, configurations and bundles.

Each case has a number; case and seed alone decide its content, so that one that fails can be run again.
"""
