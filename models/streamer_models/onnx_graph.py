"""Networks written as ONNX graphs, for onnxruntime, whose products of 8-bit integers torch has no equal to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

_OPERATORS, _FORMAT = 18, 8
"""Versions of ONNX's operators and of its file format: those that onnxruntime 1.20 knows."""
_OWN = "com.microsoft"
"""Where onnxruntime's own operators are."""
_LARGEST = 127
"""Of the sum of two neighbouring weights: rounded, its product by a byte fits into 16 bits, where AVX2 adds pairs."""


Shape = Sequence[int | str]
"""Sizes; a name stands for one that varies."""


class Graph:
    """A network that is written operation by operation; values go by their names."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, values: NDArray[Any] | Tensor | Sequence[int]) -> str:
        """Add a constant; whole numbers are 64-bit."""
        name = f"c{len(self._constants)}"
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def all(
        self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any
    ) -> list[str]:
        """Add an operation of several outputs."""
        names = [f"v{len(self._nodes)}_{place}" for place in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation of ONNX."""
        return self.all(operator, inputs, 1, **attributes)[0]

    def own(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add one of onnxruntime's own operations."""
        return self.add(operator, *inputs, domain=_OWN, **attributes)

    def norm(self, x: str, layer: nn.LayerNorm) -> str:
        """Add a layer norm."""
        weights = self.constant(layer.weight), self.constant(layer.bias)
        return self.add("LayerNormalization", x, *weights, epsilon=layer.eps)

    def linear(self, x: str, weight: Tensor, bias: Tensor) -> str:
        """Add a linear layer in floating point: [..., inputs] -> [..., outputs] by weights [outputs, inputs]."""
        product = self.add("MatMul", x, self.constant(weight.T))
        return self.add("Add", product, self.constant(bias))

    def linear_8bit(self, x: str, weight: Tensor, bias: Tensor) -> str:
        """Add `linear` of an even number of inputs in 8 bits.

        Weights are rounded as finely as the sums of each output's neighbours allow, x by its range in each run.
        """
        pairs = weight.detach().reshape(len(weight), -1, 2)
        sums = torch.maximum(pairs.clamp(min=0.0).sum(dim=2), (-pairs).clamp(min=0.0).sum(dim=2))
        scale = sums.amax(dim=1).clamp(min=1e-12) / _LARGEST
        rounded = (weight.detach() / scale[:, None]).round().numpy().astype(np.int8)
        weights = self.constant(rounded.T), self.constant(scale), ""
        return self.own("DynamicQuantizeMatMul", x, *weights, self.constant(bias))

    def written(
        self, inputs: Mapping[str, tuple[type[np.generic], Shape]], output: str, shape: Shape
    ) -> bytes:
        """Return the file's content.

        Args:
            inputs: Type and shape of each.
            output: The value that is given back, float32.
            shape: Its shape.
        """
        taken = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), sizes
            )
            for name, (kind, sizes) in inputs.items()
        ]
        given = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "network", taken, [given], self._constants)
        operators = [helper.make_opsetid("", _OPERATORS), helper.make_opsetid(_OWN, 1)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=_FORMAT)
        return bytes(model.SerializeToString())
