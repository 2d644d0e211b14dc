"""The model card: what a trained model is, how it was made, what it can do, what not."""

import platform
import time
from typing import Any

import torch

from clipmini import __version__
from clipmini.embedder import Embedder


def card(recipe: Any, embedder: Embedder, meta: dict, words: list[str]) -> str:
    """The text of README.md. recipe: a recipes.Recipe; meta: what config.json keeps; words: the doctor's."""
    config = embedder.config
    threads = f"{meta['threads']} CPU thread{'s' * (meta['threads'] > 1)}"
    begun = f"Begun with the weights of {recipe.init} and trained on" if recipe.init else "Trained from nothing"
    about = f"{recipe.about[0].upper()}{recipe.about[1:]}. {begun} by clipmini {__version__}."
    if parts := meta.get("mixed"):
        about += f" Its weights are the mean of {len(parts)} such trainings ({', '.join(parts)}), all counted below."
    lines = [f"# {recipe.name}", "", about, "",
             "| | |", "|---|---|",
             f"| image tower | {config.vision.tower}, {config.vision.image_size} x {config.vision.image_size} pixels |",
             f"| text tower | {config.text.tower}, {config.text.vocab_size:,} tokens |",
             f"| parameters | {embedder.parameters:,} |",
             f"| data | {meta['data']}; {meta['pictures']:,} pictures |",
             f"| training | {meta['steps']:,} steps of {recipe.train.batch} pairs, {meta['seconds'] / 60:.1f} minutes "
             f"on {threads}, in {meta['precision']}; `--steps {meta['steps']}` repeats it to the bit on the same "
             "machine with as many threads |",
             f"| seed | {recipe.train.seed} |", f"| command | `{meta['command'] or 'clipmini train ' + recipe.name}` |",
             f"| made on | {time.strftime('%Y-%m-%d')}, {platform.system()}, torch {torch.__version__} |", "",
             "![training curve](curve.png)", "", "## Measured", ""]
    lines += [f"- {name}: {sentence(result)}" for name, result in meta["results"].items()] or ["- nothing was held out"]
    if mixes := meta.get("wise_ft"):
        known = [f" {row['reference']:.1%} " if "reference" in row else " " for row in mixes]
        rows = [f"| {row['share']:g}{' (kept)' if row['kept'] else ''} | {row['score']:.1%} |{what}|"
                for row, what in zip(mixes, known, strict=True)]
        lines += ["", "Between the weights before and after (WiSE-FT):", "",
                  "| share of the weights after | validation, new data | what it knew before |", "|---|---|---|", *rows]
    lines += ["", "The doctor says: " + " ".join(words), ""]
    if recipe.tried:
        lines += ["## What was tried", "", recipe.tried[0], "", *(f"- {line}" for line in recipe.tried[1:]), ""]
    if packages := recipe.data.packages(meta["data"]):
        rows = [f"- {p.style or 'words'}: {p.package}, {p.author}, {p.licence}" for p in packages]
        lines += ["## Pictures and words", "", *rows, ""]
    lines += ["## Limits", "", recipe.data.limits, ""]
    return "\n".join(lines)


def in_one_line(results: dict) -> dict:
    """The best held-out accuracy for the app's header, in English and Chinese; {} where no labels were measured."""
    held = {name: r for name, r in results.items() if "top1" in r}
    if not held:
        return {}
    name = next((name for name in held if name.endswith("ensemble")), list(held)[-1])
    r = held[name]
    style = name.split(",")[0]
    return {"en": f"right on {r['top1']:.0%} of {r['n']:,} pictures it never saw ({style}), among {r['classes']:,} "
                  "names",
            "zh": f"在 {r['n']:,} 张从未见过的图片（{style}）上，从 {r['classes']:,} 个名称中选对 {r['top1']:.0%}"}


def sentence(result: dict) -> str:
    """One measured result in words."""
    if "top1" in result:
        return (f"top-1 {result['top1']:.1%}, top-5 {result['top5']:.1%} of {result['n']:,} pictures among "
                f"{result['classes']:,} names (95% interval of top-1: {result['top1_low']:.1%} to "
                f"{result['top1_high']:.1%})")
    if "mean_recall" in result:
        first = {way: result[way]["recall"]["1"] for way in ("i->t", "t->i")}
        return (f"of {result['n']:,} pictures {first['i->t']:.1%} find a caption of their own first, of "
                f"{result['captions']:,} captions {first['t->i']:.1%} their picture; mean recall at 1, 5, 10 "
                f"{result['mean_recall']:.1%}")
    return (f"true caption preferred: relation {result['relation']:.1%}, binding {result['binding']:.1%} of "
            f"{result['n']:,} scenes (chance 50%)")
