"""What a camera sees of a flat sign, from a distance and an angle (lecture 10)."""

import math

import torch

from .changes import axes, blur, look_up, per_picture

SIGN = 2.5  # feet: the side of the sign, 30 inches as on a city street
NEAR, FAR, STEEP = 3.0, 100.0, 70.0  # what is asked of the camera: feet, feet, degrees
SHARP = 400.0  # the sign is this many sensor pixels wide, times one foot, at a foot's distance
FILL = 0.85  # the share of the frame that a sign seen from the front fills
WIDTH_OF_BOX = math.sqrt(12)  # a box of this width has a standard deviation of 1


def camera(x, distance, angle, *, alpha=None, background=0.5, turn=0.0, zoom=1.0, shift=(0, 0)):
    """Return what a camera sees of flat signs x [N, C, H, W], cut out as a sign detector would.

    distance: in feet, 3 to 100; angle: in degrees between the sign's front and the line of sight,
    -70 to 70, positive from the right. The cut is enlarged to the same frame, so distance shows in
    the perspective and in the details that the sensor no longer resolves. alpha [N or 1, 1, H, W]:
    where x is sign (1) and where background (0), None: everywhere sign. background: a gray value or
    pictures [N, C, H, W]. turn, zoom, shift: how badly the detector has cut: degrees, a factor, and
    a share of the frame to the right and down. Every number may be one for each picture.
    Raises ValueError for what is out of range. Source: a pinhole camera; lecture 10.
    """
    distance = per_picture("distance", distance, x, NEAR, FAR)
    tilt = torch.deg2rad(per_picture("angle", angle, x, -STEEP, STEEP))[..., 0]
    alpha = torch.ones_like(x[:, :1]) if alpha is None else alpha.to(x)
    if alpha.ndim != 4 or alpha.shape[0] not in (1, len(x)) or alpha.shape[1] != 1:
        raise ValueError(f"alpha: shape {tuple(alpha.shape)}; pass (1, 1, H, W) or (N, 1, H, W)")
    column, row = _straightened(x, turn, zoom, shift)
    # The pinhole, in half signs: a point (X, Y) of the turned sign lies at depth d + X sin, and is
    # seen at X cos / depth and Y / depth. Solved for X and Y, because each pixel asks what it sees.
    d = distance[..., 0] / (SIGN / 2)
    column, row = column / (FILL * d), row / (FILL * d)
    place_x = d * column / (tilt.cos() - column * tilt.sin()).clamp(min=1e-3)
    place_y = row * (d + place_x * tilt.sin())
    grid = torch.stack([place_x, place_y], -1)
    shape = look_up(alpha.expand(len(x), -1, -1, -1), grid, 0.0)
    # A transparent pixel has no color: the sign is read together with its alpha.
    seen = look_up(x * alpha, grid, 0.0)
    return blur(seen + (1 - shape) * background, resolution(x, distance).flatten())


def resolution(x, distance):
    """Return the blur [N] (sigma, in pixels of the frame) that the sensor's pixels amount to."""
    covered = FILL * min(x.shape[2:]) / (SHARP / distance)  # frame pixels in a sensor pixel
    return (covered.square() - 1).clamp(min=0).sqrt() / WIDTH_OF_BOX


def _straightened(x, turn, zoom, shift):
    """Return the columns and rows [N, H, W] of the frame, before the detector's cut went wrong."""
    turn = torch.deg2rad(per_picture("turn", turn, x, -360, 360))[..., 0]
    zoom = per_picture("zoom", zoom, x, 0.1, 10)[..., 0]
    right, down = (per_picture("shift", s, x, -1, 1)[..., 0] for s in shift)
    x_axis, y_axis = axes(x)
    column, row = (
        (x_axis[None, None, :] - 2 * right) / zoom,
        (y_axis[None, :, None] - 2 * down) / zoom,
    )
    return turn.cos() * column - turn.sin() * row, turn.sin() * column + turn.cos() * row
