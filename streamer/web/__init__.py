"""The server: audio from the network, events to clients, a dashboard, metrics and health.

hub.py        all running conversations: starts, limits, ends and finds them
broadcast.py  a sink that serves any number of watchers, slow ones included
encodings.py  bytes of a connection -> samples
access.py     tokens and origins
connection.py what a refused client receives: close codes and reasons
refusals.py   how long it waits for them
protocol.py   limits of connections before they are accepted
watching.py   events of running conversations to watchers
ingest/       one file for each protocol that brings audio
app.py        routes; server.py, listening and graceful shutdown
static/       the dashboard: one page, one script, no build step
"""
