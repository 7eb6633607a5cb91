"""What the paper says: the figures of the tables of arXiv 1510.00149 (version 5) that ours are printed beside."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperNet:
    """A net of Table 1: errors in percent, sizes in bytes, and what it says of all weights together elsewhere."""

    name: str
    error: tuple[float, float]
    bytes: tuple[float, float]
    ratio: float
    top5: tuple[float, float] | None = None


TABLE_1 = (
    PaperNet("lenet-300-100", (1.64, 1.58), (1070e3, 27e3), 40),
    PaperNet("lenet-5", (0.80, 0.74), (1720e3, 44e3), 39),
    PaperNet("alexnet", (42.78, 42.78), (240e6, 6.9e6), 35, (19.73, 19.70)),
    PaperNet("vgg16", (31.50, 31.17), (552e6, 11.3e6), 49, (11.32, 10.91)),
)


@dataclass(frozen=True)
class PaperLayer:
    """A row of Tables 2 to 5.

    Attributes:
        name: of the layer, as our models call it.
        density: in percent.
        code_bits, gap_bits: before and after Huffman coding, a symbol.
        rates: bytes in percent of the dense ones, before and after Huffman coding.
    """

    name: str
    density: float
    code_bits: tuple[float, float]
    gap_bits: tuple[float, float]
    rates: tuple[float, float]


_LENET_300_100 = (
    PaperLayer("fc1", 8, (6, 4.4), (5, 3.7), (3.1, 2.32)),
    PaperLayer("fc2", 9, (6, 4.4), (5, 4.3), (3.8, 3.04)),
    PaperLayer("fc3", 26, (6, 4.3), (5, 3.2), (15.7, 12.70)),
    PaperLayer("all", 8, (6, 5.1), (5, 3.7), (3.1, 2.49)),
)
_LENET_5 = (
    PaperLayer("conv1", 66, (8, 7.2), (5, 1.5), (78.5, 67.45)),
    PaperLayer("conv2", 12, (8, 7.2), (5, 3.9), (6.0, 5.28)),
    PaperLayer("fc1", 8, (5, 4.5), (5, 4.5), (2.7, 2.45)),
    PaperLayer("fc2", 19, (5, 5.2), (5, 3.7), (6.9, 6.13)),
    PaperLayer("all", 8, (5.3, 4.1), (5, 4.4), (3.05, 2.55)),
)
_ALEXNET = (
    PaperLayer("conv1", 84, (8, 6.3), (4, 1.2), (32.6, 20.53)),
    PaperLayer("conv2", 38, (8, 5.5), (4, 2.3), (14.5, 9.43)),
    PaperLayer("conv3", 35, (8, 5.1), (4, 2.6), (13.1, 8.44)),
    PaperLayer("conv4", 37, (8, 5.2), (4, 2.5), (14.1, 9.11)),
    PaperLayer("conv5", 37, (8, 5.6), (4, 2.5), (14.0, 9.43)),
    PaperLayer("fc6", 9, (5, 3.9), (4, 3.2), (3.0, 2.39)),
    PaperLayer("fc7", 9, (5, 3.6), (4, 3.7), (3.0, 2.46)),
    PaperLayer("fc8", 25, (5, 4), (4, 3.2), (7.3, 5.85)),
    PaperLayer("all", 11, (5.4, 4), (4, 3.2), (3.7, 2.88)),
)
_VGG16 = (
    PaperLayer("conv1_1", 58, (8, 6.8), (5, 1.7), (40.0, 29.97)),
    PaperLayer("conv1_2", 22, (8, 6.5), (5, 2.6), (9.8, 6.99)),
    PaperLayer("conv2_1", 34, (8, 5.6), (5, 2.4), (14.3, 8.91)),
    PaperLayer("conv2_2", 36, (8, 5.9), (5, 2.3), (14.7, 9.31)),
    PaperLayer("conv3_1", 53, (8, 4.8), (5, 1.8), (21.7, 11.15)),
    PaperLayer("conv3_2", 24, (8, 4.6), (5, 2.9), (9.7, 5.67)),
    PaperLayer("conv3_3", 42, (8, 4.6), (5, 2.2), (17.0, 8.96)),
    PaperLayer("conv4_1", 32, (8, 4.6), (5, 2.6), (13.1, 7.29)),
    PaperLayer("conv4_2", 27, (8, 4.2), (5, 2.9), (10.9, 5.93)),
    PaperLayer("conv4_3", 34, (8, 4.4), (5, 2.5), (14.0, 7.47)),
    PaperLayer("conv5_1", 35, (8, 4.7), (5, 2.5), (14.3, 8.00)),
    PaperLayer("conv5_2", 29, (8, 4.6), (5, 2.7), (11.7, 6.52)),
    PaperLayer("conv5_3", 36, (8, 4.6), (5, 2.3), (14.8, 7.79)),
    PaperLayer("fc6", 4, (5, 3.6), (5, 3.5), (1.6, 1.10)),
    PaperLayer("fc7", 4, (5, 4), (5, 4.3), (1.5, 1.25)),
    PaperLayer("fc8", 23, (5, 4), (5, 3.4), (7.1, 5.24)),
    PaperLayer("all", 7.5, (6.4, 4.1), (5, 3.1), (3.2, 2.05)),
)
LAYERS = {  # Tables 2 to 5
    "lenet-300-100": (2, _LENET_300_100),
    "lenet-5": (3, _LENET_5),
    "alexnet": (4, _ALEXNET),
    "vgg16": (5, _VGG16),
}

# AlexNet at fewer bits: (bits of convolutions, of dense layers), top-1 and top-5 error in percent.
TABLE_6 = (
    (None, 42.78, 19.73),
    ((8, 5), 42.78, 19.70),
    ((8, 4), 42.79, 19.73),
    ((4, 2), 44.77, 22.33),
)

# AlexNet by other methods: top-1 and top-5 error in percent, bytes, ratio.
TABLE_7 = (
    ("baseline (BVLC)", 42.78, 19.73, 240e6, 1.0),
    ("Fastfood-32-AD", 41.93, None, 131e6, 2.0),
    ("Fastfood-16-AD", 42.90, None, 64e6, 3.7),
    ("Collins & Kohli", 44.40, None, 61e6, 4.0),
    ("SVD", 44.02, 20.56, 47.6e6, 5.0),
    ("pruning", 42.77, 19.67, 27e6, 9.0),
    ("pruning, sharing", 42.78, 19.70, 8.9e6, 27.0),
    ("pruning, sharing, Huffman", 42.78, 19.70, 6.9e6, 35.0),
)
