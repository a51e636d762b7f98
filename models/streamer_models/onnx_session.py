"""Networks that come as ONNX, run by onnxruntime."""

from typing import Any


def session_of(network: bytes) -> Any:
    """Return a network, the content of its file, in onnxruntime, on the CPU; one thread keeps its sums the same."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: its warnings are about its own optimisations
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
