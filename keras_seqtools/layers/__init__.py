"""Layers: always-on dropout, layer-normalised recurrence, causal tools."""

from keras_seqtools.layers.causal_conv_stack import CausalConvStack
from keras_seqtools.layers.causal_slice import CausalSlice
from keras_seqtools.layers.highway import Highway
from keras_seqtools.layers.layer_norm_gru import LayerNormGRU
from keras_seqtools.layers.layer_norm_gru_cell import LayerNormGRUCell
from keras_seqtools.layers.layer_norm_lstm import LayerNormLSTM
from keras_seqtools.layers.layer_norm_lstm_cell import LayerNormLSTMCell
from keras_seqtools.layers.mc_dropout import MCDropout
from keras_seqtools.layers.mc_dropout import MCGaussianDropout
from keras_seqtools.layers.mc_dropout import MCSpatialDropout1D

__all__ = [
    "CausalConvStack",
    "CausalSlice",
    "Highway",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "MCDropout",
    "MCGaussianDropout",
    "MCSpatialDropout1D",
]
