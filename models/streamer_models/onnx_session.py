"""Networks that come as ONNX, run by onnxruntime."""

from typing import Any


def session_of(network: bytes, **entries: str) -> Any:
    """Return a network in onnxruntime, on the CPU; one thread keeps its sums the same.

    Args:
        network: The content of its file.
        entries: Further configuration of the session, by the last part of its key (`session.KEY`).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: its warnings are about its own optimisations
    for key, value in entries.items():
        options.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
