"""Make the model: a small convolutional classifier of 224 by 224 pixels. Its weights are fixed, not trained."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

CLASSES = 1000
CHANNELS = (3, 32, 64, 128, 256, 512)


def main(path: Path) -> None:
    """Write it: five convolutions that halve the image, an average, a linear layer, a softmax."""
    random = np.random.RandomState(1)
    nodes, weights, last = [], [], "image"
    for layer, (taken, given) in enumerate(pairwise(CHANNELS)):
        kernel = random.standard_normal((given, taken, 3, 3)) * np.sqrt(2 / (taken * 9))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"kernel{layer}"))
        nodes.append(
            helper.make_node("Conv", [last, f"kernel{layer}"], [f"sum{layer}"], strides=[2, 2], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"sum{layer}"], [f"out{layer}"]))
        last = f"out{layer}"
    linear = random.standard_normal((CHANNELS[-1], CLASSES)) / np.sqrt(CHANNELS[-1])
    weights.append(numpy_helper.from_array(linear.astype(np.float32), "linear"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "linear"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
