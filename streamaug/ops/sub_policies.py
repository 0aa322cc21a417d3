"""The sub-policies of AutoAugment in torchvision's version (Cubuk et al., 2019, arXiv 1805.09501).

Only tables: for each data set 25 pairs of sub-operations, each with its chance and its strength (0 if it has none).
"""

from streamaug.ops.policy_steps import Step

#: A sub-operation, its chance 0..1, its strength 0..9.
Part = tuple[Step, float, int]

IMAGENET: tuple[tuple[Part, Part], ...] = (
    ((Step.POSTERIZE, 0.4, 8), (Step.ROTATE, 0.6, 9)),
    ((Step.SOLARIZE, 0.6, 5), (Step.AUTO_CONTRAST, 0.6, 0)),
    ((Step.EQUALIZE, 0.8, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.POSTERIZE, 0.6, 7), (Step.POSTERIZE, 0.6, 6)),
    ((Step.EQUALIZE, 0.4, 0), (Step.SOLARIZE, 0.2, 4)),
    ((Step.EQUALIZE, 0.4, 0), (Step.ROTATE, 0.8, 8)),
    ((Step.SOLARIZE, 0.6, 3), (Step.EQUALIZE, 0.6, 0)),
    ((Step.POSTERIZE, 0.8, 5), (Step.EQUALIZE, 1.0, 0)),
    ((Step.ROTATE, 0.2, 3), (Step.SOLARIZE, 0.6, 8)),
    ((Step.EQUALIZE, 0.6, 0), (Step.POSTERIZE, 0.4, 6)),
    ((Step.ROTATE, 0.8, 8), (Step.COLOR, 0.4, 0)),
    ((Step.ROTATE, 0.4, 9), (Step.EQUALIZE, 0.6, 0)),
    ((Step.EQUALIZE, 0.0, 0), (Step.EQUALIZE, 0.8, 0)),
    ((Step.INVERT, 0.6, 0), (Step.EQUALIZE, 1.0, 0)),
    ((Step.COLOR, 0.6, 4), (Step.CONTRAST, 1.0, 8)),
    ((Step.ROTATE, 0.8, 8), (Step.COLOR, 1.0, 2)),
    ((Step.COLOR, 0.8, 8), (Step.SOLARIZE, 0.8, 7)),
    ((Step.SHARPNESS, 0.4, 7), (Step.INVERT, 0.6, 0)),
    ((Step.SHEAR_X, 0.6, 5), (Step.EQUALIZE, 1.0, 0)),
    ((Step.COLOR, 0.4, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.EQUALIZE, 0.4, 0), (Step.SOLARIZE, 0.2, 4)),
    ((Step.SOLARIZE, 0.6, 5), (Step.AUTO_CONTRAST, 0.6, 0)),
    ((Step.INVERT, 0.6, 0), (Step.EQUALIZE, 1.0, 0)),
    ((Step.COLOR, 0.6, 4), (Step.CONTRAST, 1.0, 8)),
    ((Step.EQUALIZE, 0.8, 0), (Step.EQUALIZE, 0.6, 0)),
)
CIFAR10: tuple[tuple[Part, Part], ...] = (
    ((Step.INVERT, 0.1, 0), (Step.CONTRAST, 0.2, 6)),
    ((Step.ROTATE, 0.7, 2), (Step.TRANSLATE_X, 0.3, 9)),
    ((Step.SHARPNESS, 0.8, 1), (Step.SHARPNESS, 0.9, 3)),
    ((Step.SHEAR_Y, 0.5, 8), (Step.TRANSLATE_Y, 0.7, 9)),
    ((Step.AUTO_CONTRAST, 0.5, 0), (Step.EQUALIZE, 0.9, 0)),
    ((Step.SHEAR_Y, 0.2, 7), (Step.POSTERIZE, 0.3, 7)),
    ((Step.COLOR, 0.4, 3), (Step.BRIGHTNESS, 0.6, 7)),
    ((Step.SHARPNESS, 0.3, 9), (Step.BRIGHTNESS, 0.7, 9)),
    ((Step.EQUALIZE, 0.6, 0), (Step.EQUALIZE, 0.5, 0)),
    ((Step.CONTRAST, 0.6, 7), (Step.SHARPNESS, 0.6, 5)),
    ((Step.COLOR, 0.7, 7), (Step.TRANSLATE_X, 0.5, 8)),
    ((Step.EQUALIZE, 0.3, 0), (Step.AUTO_CONTRAST, 0.4, 0)),
    ((Step.TRANSLATE_Y, 0.4, 3), (Step.SHARPNESS, 0.2, 6)),
    ((Step.BRIGHTNESS, 0.9, 6), (Step.COLOR, 0.2, 8)),
    ((Step.SOLARIZE, 0.5, 2), (Step.INVERT, 0.0, 0)),
    ((Step.EQUALIZE, 0.2, 0), (Step.AUTO_CONTRAST, 0.6, 0)),
    ((Step.EQUALIZE, 0.2, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.COLOR, 0.9, 9), (Step.EQUALIZE, 0.6, 0)),
    ((Step.AUTO_CONTRAST, 0.8, 0), (Step.SOLARIZE, 0.2, 8)),
    ((Step.BRIGHTNESS, 0.1, 3), (Step.COLOR, 0.7, 0)),
    ((Step.SOLARIZE, 0.4, 5), (Step.AUTO_CONTRAST, 0.9, 0)),
    ((Step.TRANSLATE_Y, 0.9, 9), (Step.TRANSLATE_Y, 0.7, 9)),
    ((Step.AUTO_CONTRAST, 0.9, 0), (Step.SOLARIZE, 0.8, 3)),
    ((Step.EQUALIZE, 0.8, 0), (Step.INVERT, 0.1, 0)),
    ((Step.TRANSLATE_Y, 0.7, 9), (Step.AUTO_CONTRAST, 0.9, 0)),
)
SVHN: tuple[tuple[Part, Part], ...] = (
    ((Step.SHEAR_X, 0.9, 4), (Step.INVERT, 0.2, 0)),
    ((Step.SHEAR_Y, 0.9, 8), (Step.INVERT, 0.7, 0)),
    ((Step.EQUALIZE, 0.6, 0), (Step.SOLARIZE, 0.6, 6)),
    ((Step.INVERT, 0.9, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.EQUALIZE, 0.6, 0), (Step.ROTATE, 0.9, 3)),
    ((Step.SHEAR_X, 0.9, 4), (Step.AUTO_CONTRAST, 0.8, 0)),
    ((Step.SHEAR_Y, 0.9, 8), (Step.INVERT, 0.4, 0)),
    ((Step.SHEAR_Y, 0.9, 5), (Step.SOLARIZE, 0.2, 6)),
    ((Step.INVERT, 0.9, 0), (Step.AUTO_CONTRAST, 0.8, 0)),
    ((Step.EQUALIZE, 0.6, 0), (Step.ROTATE, 0.9, 3)),
    ((Step.SHEAR_X, 0.9, 4), (Step.SOLARIZE, 0.3, 3)),
    ((Step.SHEAR_Y, 0.8, 8), (Step.INVERT, 0.7, 0)),
    ((Step.EQUALIZE, 0.9, 0), (Step.TRANSLATE_Y, 0.6, 6)),
    ((Step.INVERT, 0.9, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.CONTRAST, 0.3, 3), (Step.ROTATE, 0.8, 4)),
    ((Step.INVERT, 0.8, 0), (Step.TRANSLATE_Y, 0.0, 2)),
    ((Step.SHEAR_Y, 0.7, 6), (Step.SOLARIZE, 0.4, 8)),
    ((Step.INVERT, 0.6, 0), (Step.ROTATE, 0.8, 4)),
    ((Step.SHEAR_Y, 0.3, 7), (Step.TRANSLATE_X, 0.9, 3)),
    ((Step.SHEAR_X, 0.1, 6), (Step.INVERT, 0.6, 0)),
    ((Step.SOLARIZE, 0.7, 2), (Step.TRANSLATE_Y, 0.6, 7)),
    ((Step.SHEAR_Y, 0.8, 4), (Step.INVERT, 0.8, 0)),
    ((Step.SHEAR_X, 0.7, 9), (Step.TRANSLATE_Y, 0.8, 3)),
    ((Step.SHEAR_Y, 0.8, 5), (Step.AUTO_CONTRAST, 0.7, 0)),
    ((Step.SHEAR_X, 0.7, 2), (Step.INVERT, 0.1, 0)),
)

SUB_POLICIES = {"imagenet": IMAGENET, "cifar10": CIFAR10, "svhn": SVHN}
