"""Parts that conversations share: loaded models, the worker pools they run in, batching, queues with statistics."""
