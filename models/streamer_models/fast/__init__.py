"""The networks once more, for the stream: the same functions of the same weights, with less work on a processor.

Training needs gradients, dropout and weights that change; a stream needs none of it. So what depends on weights alone
is worked out once, here, and every product of matrices serves as much as it can. Each form is made of a trained
module whose weights are final, takes its place where it is called, and is tested against it.

packing.py       when weights are rearranged
linear.py        weights in the order that the matrix kernels want
convolution.py   the same for convolutions
recurrent.py     bidirectional GRUs side by side
transformer.py   a layer of a transformer encoder
audio.py         the audio encoder, piece by piece
text.py          the text encoder
window.py        contexts and fusion: the judgement of a window
"""
