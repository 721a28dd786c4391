"""The defenses of the course, one file per family (lectures 13 to 16)."""

from .adversarial import adversarial_training, trades
from .augmentation import negated, noisy, with_negatives
from .density import KernelDensityDetector, log_density
from .detection import Detector, Refusing
from .detector_network import DetectorNetwork
from .distillation import distillation, hot, soft_labels
from .gan import DefenseGAN, fit_gan, latent_attack
from .intervals import certified_ibp, interval_bounds, interval_training, worst_logits
from .judge import judge
from .lid import LIDDetector, lid
from .penalties import input_gradient, lipschitz, parseval, weights
from .sdp import certified_sdp, norm_bounds, sdp_bounds
from .smoothing import RandomizedSmoothing
from .transforms import BinaryThreshold, GaussianSmoothing, RandomResizePad, Thermometer

__all__ = [
    "BinaryThreshold",
    "DefenseGAN",
    "Detector",
    "DetectorNetwork",
    "GaussianSmoothing",
    "KernelDensityDetector",
    "LIDDetector",
    "RandomResizePad",
    "RandomizedSmoothing",
    "Refusing",
    "Thermometer",
    "adversarial_training",
    "certified_ibp",
    "certified_sdp",
    "distillation",
    "fit_gan",
    "hot",
    "input_gradient",
    "interval_bounds",
    "interval_training",
    "judge",
    "latent_attack",
    "lid",
    "lipschitz",
    "log_density",
    "negated",
    "noisy",
    "norm_bounds",
    "parseval",
    "sdp_bounds",
    "soft_labels",
    "trades",
    "weights",
    "with_negatives",
    "worst_logits",
]
