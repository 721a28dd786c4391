"""The kernel-free twin of an explorer: every frame drawn beforehand, under plain HTML sliders."""

import base64
import html
import itertools
import json

NAMES = {"eps": "epsilon", "strength": "epsilon", "step": "iterations"}
# Runs in the page: reads the sliders, looks up the frame, swaps picture, alt text and caption.
MOVE = (
    "const f=this.closest('figure'),t=f.querySelector('template').content.textContent,"
    "d=f.data||=JSON.parse(t);"
    "let i=0;f.querySelectorAll('input,select').forEach((e,k)=>{i=i*d.size[k]+ +e.value;"
    "const o=e.nextElementSibling;if(o)o.value=d.axes[k][e.value]});"
    "const p=f.querySelector('img');p.src='data:image/webp;base64,'+d.frames[d.index[i]];"
    "p.alt=f.querySelector('figcaption').textContent=d.captions[i]"
)


class Twin:
    """Frames of `render(**values) -> (WebP bytes, caption)` over all combinations of `axes`.

    axes: {argument: list of values} for a slider, or {argument: {label: value}} for a menu. Equal
    frames are stored once. named: what a slider is called, where that is not its argument. It opens
    at each first value, where nothing has happened yet; start: {argument: another value}.
    """

    def __init__(self, render, label, axes, named=None, start=None):
        self.label, self.named, self.start = label, NAMES | (named or {}), start or {}
        self.names = list(axes)
        self.menus = [isinstance(v, dict) for v in axes.values()]
        self.axes = [
            v if isinstance(v, dict) else {self._text(t): t for t in v} for v in axes.values()
        ]
        self.frames, self.index, self.captions = [], [], []
        known = {}
        for values in itertools.product(*(axis.values() for axis in self.axes)):
            image, caption = render(**dict(zip(self.names, values, strict=True)))
            if image not in known:
                known[image] = len(self.frames)
                self.frames.append(base64.b64encode(image).decode())
            self.index.append(known[image])
            self.captions.append(caption)

    @staticmethod
    def _text(value):
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    def __repr__(self):
        return f"[{self.label}: {len(self.index)} frames under a slider; open the page to drag it]"

    def _repr_html_(self):
        data = {
            "size": [len(axis) for axis in self.axes if len(axis) > 1],
            "axes": [list(axis) for axis in self.axes if len(axis) > 1],
            "index": self.index,
            "frames": self.frames,
            "captions": self.captions,
        }
        controls, start = [], 0
        for name, axis, menu in zip(self.names, self.axes, self.menus, strict=True):
            at = list(axis.values()).index(self.start[name]) if name in self.start else 0
            start = start * len(axis) + at
            if len(axis) > 1:
                controls.append(self._control(self.named.get(name, name), list(axis), at, menu))
        caption = html.escape(self.captions[start], quote=True)
        return (
            f'<figure class="advcourse-twin" role="group" aria-label="{html.escape(self.label)}" '
            f'style="margin:1em 0"><b>{html.escape(self.label)}</b>{"".join(controls)}'
            f'<img alt="{caption}" style="max-width:100%;height:auto" '
            f'src="data:image/webp;base64,{self.frames[self.index[start]]}">'
            f'<figcaption aria-live="polite">{caption}</figcaption>'
            f"<template>{html.escape(json.dumps(data), quote=False)}</template></figure>"
        )

    def _control(self, name, labels, at, menu):
        name, texts = html.escape(name), [html.escape(t) for t in labels]
        if not menu:
            field = (
                f'<input type="range" min="0" max="{len(texts) - 1}" value="{at}" step="1" '
                f'aria-label="{name}" style="width:55%;vertical-align:middle" oninput="{MOVE}">'
                f'<output style="display:inline-block;min-width:4em">{texts[at]}</output>'
            )
        else:
            options = "".join(
                f'<option value="{i}"{" selected" * (i == at)}>{t}</option>'
                for i, t in enumerate(texts)
            )
            field = f'<select aria-label="{name}" onchange="{MOVE}">{options}</select>'
        return (
            '<label style="display:block;margin:.3em 0"><span style="display:inline-block;'
            f'min-width:6.5em">{name}</span> {field}</label>'
        )
