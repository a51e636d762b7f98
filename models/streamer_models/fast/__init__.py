"""Fast forms: the same functions of the same weights as the plain modules, with less work on a CPU.

Training needs gradients, dropout and weights that change; inference does not. What depends on weights alone is computed
once, and matrix products are shared. A fast form is optional: an encoder or system that has one offers it as `fast()`
(`contract.HasFastForm`), and a test holds it equal to the plain module, or near it where it multiplies in 8 bits.

packing.py       when weights are rearranged
linear.py        linear layers with weights in the order of the matrix kernels
convolution.py   the same for convolutions
recurrent.py     bidirectional GRUs side by side
transformer.py   a layer of a transformer encoder
whisper.py       the audio encoder of Whisper's layers, in 8 bits
leaf_cnn.py      the audio encoder, piece by piece
bert_gru.py      the text encoder
dutta2022.py     contexts and fusion: the scores of a window
"""
