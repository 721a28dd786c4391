"""Print a picture and photograph it: a chain of differentiable steps, and a camera (lecture 10).

Every step is a module x [N, C, H, W] -> [N, C, H, W] whose parameters are drawn for each picture
from a generator, or given. `Chain` puts steps behind one another; `attacks.eot_pgd(..., views=chain)`
attacks through it, and so does every white-box attack by `attacks.EOT(nn.Sequential(chain, model))`.
"""

from .camera import camera
from .chain import (
    JPEG,
    Blur,
    Brightness,
    Camera,
    Chain,
    Contrast,
    Noise,
    Rotation,
    Scale,
    Step,
    print_and_photograph,
)
from .changes import blur, brightness, contrast, noise, rotate, scale
from .compression import jpeg
from .masks import bars, glasses

__all__ = [
    "JPEG",
    "Blur",
    "Brightness",
    "Camera",
    "Chain",
    "Contrast",
    "Noise",
    "Rotation",
    "Scale",
    "Step",
    "bars",
    "blur",
    "brightness",
    "camera",
    "contrast",
    "glasses",
    "jpeg",
    "noise",
    "print_and_photograph",
    "rotate",
    "scale",
]
