"""The peer libraries behind one call each: `PEERS[task][label](model, x, y, target) -> x_adv`.

A label begins with the name of its library. Every adapter carries its task's settings; what those
do not say is the library's default. A library is imported when it is first asked.
"""

import importlib
import importlib.util
import sys
import types
from importlib import metadata

# library: (its name on PyPI, the modules that its adapters need)
LIBRARIES = {
    "torchattacks": ("torchattacks", ["torchattacks"]),
    "foolbox": ("foolbox", ["foolbox"]),
    "ART": ("adversarial-robustness-toolbox", ["art.estimators.classification"]),
    "adv-lib": ("adv-lib", ["adv_lib.attacks"]),
    "cleverhans": ("cleverhans", ["cleverhans.torch.attacks.carlini_wagner_l2"]),
    "torchattack": ("torchattack", ["torchattack"]),
}
INF = float("inf")


def library(label):
    """Return the name of the library that `label` begins with."""
    return label.replace(",", " ").split()[0]


def version(label):
    """Return the installed version of the label's library."""
    return metadata.version(LIBRARIES[library(label)][0])


def why_missing(label):
    """Import the label's library; return the reason where that fails, else None."""
    name, modules = LIBRARIES[library(label)]
    if name == "adv-lib":
        stand_in()
    try:
        version(label)
        for module in modules:
            importlib.import_module(module)
    except metadata.PackageNotFoundError:
        return f"no package {name}"
    except Exception as error:  # whatever an old library raises is the table's to report
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def stand_in():
    """Put an empty visdom and, from Python 3.12 on, a distutils where adv-lib imports them.

    It needs neither for an attack: visdom draws its callbacks, distutils compares torch's version.
    The last visdom on PyPI cannot be built with today's setuptools.
    """
    if "visdom" not in sys.modules and importlib.util.find_spec("visdom") is None:
        sys.modules["visdom"] = types.ModuleType("visdom")
    if "distutils" not in sys.modules and importlib.util.find_spec("distutils") is None:
        sys.modules["distutils"] = importlib.import_module("setuptools._distutils")
        sys.modules["distutils.version"] = importlib.import_module("setuptools._distutils.version")


def _torchattacks(name, **options):
    """Return an adapter for the class `name` of torchattacks."""

    def run(model, x, y, target):
        import torchattacks

        attack = getattr(torchattacks, name)(model, **options)
        if target is None:
            return attack(x, y)
        attack.set_mode_targeted_by_label(quiet=True)
        return attack(x, target)

    return run


def _foolbox(name, eps=None, **options):
    """Return an adapter for the class `name` of foolbox; eps None: the least norm it finds."""

    def run(model, x, y, target):
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        goal = foolbox.criteria.Misclassification(y)
        if target is not None:
            goal = foolbox.criteria.TargetedMisclassification(target)
        attack = getattr(foolbox.attacks, name)(**options)
        _raw, clipped, _success = attack(wrapped, x, goal, epsilons=eps)
        return clipped

    return run


def _art(name, **options):
    """Return an adapter for the evasion attack `name` of ART, which wants and returns numpy."""

    def run(model, x, y, target):
        import torch
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            model,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=tuple(x.shape[1:]),
            nb_classes=10,
            clip_values=(0, 1),
            device_type="cpu" if x.device.type == "cpu" else "gpu",
        )
        method = getattr(evasion, name)
        aim = {"targeted": target is not None} if "targeted" in method.attack_params else {}
        attack = method(classifier, batch_size=250, **aim, **options)
        labels = torch.nn.functional.one_hot(y if target is None else target, 10)
        x_adv = attack.generate(x.cpu().numpy(), labels.cpu().numpy())
        return torch.from_numpy(x_adv).to(x)

    return run


def _advlib(name, **options):
    """Return an adapter for the function `name` of adv-lib."""

    def run(model, x, y, target):
        import adv_lib.attacks

        labels, aims = (y, False) if target is None else (target, True)
        return getattr(adv_lib.attacks, name)(model, x, labels, targeted=aims, **options)

    return run


def _cleverhans(name, **options):
    """Return an adapter for the function `name` of cleverhans, in the module of that name."""

    def run(model, x, y, target):
        module = importlib.import_module(f"cleverhans.torch.attacks.{name}")
        labels, aims = (y, False) if target is None else (target, True)
        box = {"clip_min": 0, "clip_max": 1, **options}
        return getattr(module, name)(model, x, y=labels, targeted=aims, **box)

    return run


def _torchattack(name, **options):
    """Return an adapter for the class `name` of torchattack (without s, another library)."""

    def run(model, x, y, target):
        import torchattack

        if target is not None:
            raise ValueError("no task aims with torchattack")
        return getattr(torchattack, name)(model, device=x.device, **options)(x, y)

    return run


_FGSM = {
    "torchattacks": _torchattacks("FGSM", eps=0.3),
    "foolbox": _foolbox("LinfFastGradientAttack", eps=0.3),
    "ART": _art("FastGradientMethod", eps=0.3),
    "cleverhans": _cleverhans("fast_gradient_method", eps=0.3, norm=INF),
    "torchattack": _torchattack("FGSM", eps=0.3),
}
_ART_PGD = {"max_iter": 40, "num_random_init": 1, "verbose": False}
_PGD = {
    "torchattacks": _torchattacks("PGD", eps=0.3, alpha=0.01, steps=40),
    "foolbox": _foolbox("LinfPGD", eps=0.3, abs_stepsize=0.01, steps=40),
    "ART": _art("ProjectedGradientDescent", eps=0.3, eps_step=0.01, **_ART_PGD),
    "adv-lib": _advlib("pgd_linf", ε=0.3, absolute_step_size=0.01, steps=40),
    "cleverhans": _cleverhans(
        "projected_gradient_descent", eps=0.3, eps_iter=0.01, nb_iter=40, norm=INF
    ),
    "torchattack": _torchattack("PGD", eps=0.3, alpha=0.01, steps=40),
}
_PGD_L2 = {
    "torchattacks": _torchattacks("PGDL2", eps=2.0, alpha=0.125, steps=40),
    "foolbox": _foolbox("L2PGD", eps=2.0, abs_stepsize=0.125, steps=40),
    "ART": _art("ProjectedGradientDescent", norm=2, eps=2.0, eps_step=0.125, **_ART_PGD),
    # It has no PGD in l2; this one chooses its steps itself.
    "adv-lib, APGD": _advlib("apgd", eps=2.0, norm=2, n_iter=40, loss_function="ce"),
    "cleverhans": _cleverhans(
        "projected_gradient_descent", eps=2.0, eps_iter=0.125, nb_iter=40, norm=2
    ),
    "torchattack": _torchattack("PGDL2", eps=2.0, alpha=0.125, steps=40),
}
_DEEPFOOL = {
    "torchattacks": _torchattacks("DeepFool", steps=50, overshoot=0.02),
    "foolbox": _foolbox("L2DeepFoolAttack", steps=50, overshoot=0.02, candidates=10),
    "ART": _art("DeepFool", max_iter=50, epsilon=0.02, nb_grads=10, verbose=False),
    "adv-lib": _advlib("df", steps=50, overshoot=0.02),
    "torchattack, bounds linf": _torchattack("DeepFool", steps=50, overshoot=0.02),
}
_SEARCH = {"binary_search_steps": 9, "initial_const": 1e-3}
_CW = {
    # It has no search over c.
    "torchattacks, c = 1, 900 steps": _torchattacks("CW", c=1, steps=900, lr=0.1),
    "foolbox": _foolbox("L2CarliniWagnerAttack", steps=100, stepsize=0.1, **_SEARCH),
    "ART": _art("CarliniL2Method", max_iter=100, learning_rate=0.1, verbose=False, **_SEARCH),
    "adv-lib": _advlib("carlini_wagner_l2", max_iterations=100, learning_rate=0.1, **_SEARCH),
    "cleverhans": _cleverhans(
        "carlini_wagner_l2", n_classes=10, max_iterations=100, lr=0.1, **_SEARCH
    ),
}
_DDN = {
    "foolbox": _foolbox("DDNAttack", steps=100),
    "adv-lib": _advlib("ddn", steps=100),
    "adv-lib, not rounded": _advlib("ddn", steps=100, levels=None),
    "foolbox, FMN": _foolbox("L2FMNAttack", steps=100),
    "adv-lib, FMN": _advlib("fmn", norm=2, steps=100),
}
_JSMA = {
    "torchattacks": _torchattacks("JSMA", theta=1.0, gamma=0.1),
    "ART": _art("SaliencyMapMethod", theta=1.0, gamma=0.1, verbose=False),
}
PEERS = {
    "fgsm": _FGSM,
    "pgd": _PGD,
    "pgd-mlp": _PGD,
    "pgd-l2": _PGD_L2,
    "deepfool": _DEEPFOOL,
    "cw": _CW,
    "cw-targeted": _CW,
    "ddn": _DDN,
    "jsma": _JSMA,
}
