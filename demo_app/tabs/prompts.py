"""The view of prompts: the same picture and words, and what each template makes of them."""

from html import escape

import gradio as gr

from clipmini.embedder import Embedder
from clipmini.image import open_image
from clipmini.tasks.prompts import TEMPLATES, clean_labels
from clipmini.tasks.templates import OnePicture, on_one_picture
from demo_app.page import PRIVATE, Asked, Kept, Page, friendly_errors, samples_folder, set_templates
from demo_app.saving import Offer, Saved
from demo_app.texts import say
from demo_app.views import answers, endpoint, view

MOST_LABELS = 12  # columns of the table
# With these the answer changes: dog at 71 and 73 %, animal at 97 and 95 % (assets/emoji; measured in tests).
EXAMPLE, WORDS_OF_IT = "dog_face.png", "dog, animal, face"
FIRST = ("{}", "a drawing of a {}", "a photo of a {}.", "the word {}")


def compare(asked: Asked, templates: str) -> tuple[OnePicture, tuple[str, ...]]:
    """What each of the templates, one a line, makes of the picture -> (that, the labels)."""
    picture, labels = open_image(asked.need_picture()), clean_labels(asked.words, limit=MOST_LABELS).labels
    return on_one_picture(asked.embedder, picture, labels, templates), labels


def row_names(lang: str, found: OnePicture) -> list[str]:
    """What the rows of the table are called: the templates, and the two means of all."""
    return [*found.templates, say(lang, "all_vectors"), say(lang, "all_probabilities")]


def table(asked: Asked, templates: str) -> str:
    """A row for each template, and two for all together, as HTML; the darker, the surer."""
    found, labels = compare(asked, templates)
    lang = asked.lang
    names = row_names(lang, found)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th>{_cells(row.tolist())}</tr>'
                   for name, row in zip(names, found.probabilities, strict=True))
    return (f'<p class="cm-first">{escape(verdict(lang, found, labels))}</p>'
            f'<div class="cm-wide" tabindex="0" role="region" aria-label="{escape(say(lang, "tab_prompts"))}">'
            f'<table class="cm-shades"><thead><tr><th scope="col">{escape(say(lang, "template"))}</th>{head}</tr>'
            "</thead>"
            f'<tbody>{rows}</tbody></table></div><p class="cm-small">{escape(why(lang, asked.embedder))}</p>')


def verdict(lang: str, found: OnePicture, labels: tuple[str, ...]) -> str:
    """What the templates choose, in a sentence: whether they agree, and which is the surest."""
    shares = found.probabilities[:len(found.templates)]
    most, chosen = shares.max(dim=1)
    order = most.argsort(descending=True).tolist()
    best, named = order[0], [labels[i] for i in chosen.tolist()]
    others = [i for i in order if named[i] != named[best]]
    worst = others[0] if others else order[-1]
    key = "prompts_differ" if others else "prompts_one" if len(order) == 1 else "prompts_agree"
    return say(lang, key, n=len(order), label=named[best], best=found.templates[best], most=most[best].item(),
               worst=found.templates[worst], other=named[worst], least=most[worst].item())


def why(lang: str, embedder: Embedder) -> str:
    """Why one template does better than another, and what was measured of this model on pictures with known names."""
    told, results = say(lang, "prompts_why"), embedder.meta.get("results")  # anybody may have written them
    found = {name.rpartition(", ")[2]: r for name, r in results.items() if isinstance(r, dict)
             and isinstance(r.get("top1"), float) and isinstance(r.get("n"), int)} if isinstance(results, dict) else {}
    if not {"one template", "ensemble"} <= set(found):
        return told
    one, many = found["one template"], found["ensemble"]
    return told + ("" if lang == "zh" else " ") + say(lang, "prompts_measured", model=embedder.name, n=one["n"],
                                                      one=one["top1"], many=many["top1"])


def saved(asked: Asked, templates: str) -> Saved:
    """The same table."""
    found, labels = compare(asked, templates)
    names = row_names(asked.lang, found)

    def figures() -> list:
        from clipmini.plots import shares

        return [shares(names, labels, found.probabilities, asked.embedder.name)]
    rows = [(name, *row.tolist()) for name, row in zip(names, found.probabilities, strict=True)]
    return Saved(figures, ("template", *labels), rows)


def _cells(shares: list[float]) -> str:
    """The cells of a row; the largest is bold."""
    best = max(shares)
    return "".join(f'<td style="--share:{p:.3f}"{" class=cm-best" if p == best else ""}>{100 * p:.1f} %</td>'
                   for p in shares)


def build(page: Page) -> None:
    """Draw the view and connect it."""
    word = page.word
    with view(page, "prompts"):
        gr.Markdown(word("prompts_about"), elem_classes="cm-about")
        shades = gr.HTML(elem_id="workbench-table")
        example = gr.Button(word("prompts_try"), size="sm", elem_id="prompts-try")
        sets = [(word("prompts_own"), ""), *TEMPLATES]
        chosen = gr.Dropdown(sets, value="", label=word("template_set"), filterable=False,
                             info=word("template_set_fills"), elem_id="workbench-set")
        templates = gr.Textbox("\n".join(FIRST), label=word("templates"), lines=4, max_lines=10,
                               info=word("templates_info"), elem_id="workbench-templates")

    def compare_templates(picture: str | None, labels: str, model: str, templates: str, request: gr.Request) -> dict:
        """What does each template make of the picture?

        Args:
            picture: the picture.
            labels: at most 12, separated by commas or new lines.
            model: "automatic", or a name on the shelf.
            templates: sentences around a label, {} is its place, separated by new lines.

        Returns:
            For each template, for the mean of their vectors and for the mean of their probabilities the probability of
            each label.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            asked = page.asked(picture, labels, templates, False, model, lang)
            found, names = compare(asked, templates)
        rows = [*found.templates, "all: mean of vectors", "all: mean of probabilities"]
        return {"model": asked.embedder.name,
                "templates": {row: dict(zip(names, p.tolist(), strict=True))
                              for row, p in zip(rows, found.probabilities, strict=True)}}

    page.kept["prompts"] = Kept(templates)
    answers(page, "prompts", table, [templates], [shades])
    page.saved["prompts"] = Offer(saved, [templates])
    example.click(lambda: (str(samples_folder() / EXAMPLE), WORDS_OF_IT, "\n".join(FIRST)), None,
                  [page.bench.picture, page.bench.words, templates], **PRIVATE)
    chosen.input(set_templates, [chosen, templates], templates, **PRIVATE)
    bench = page.bench
    endpoint(page, "prompts", "compare_templates", compare_templates,
             [bench.picture, bench.words, bench.choice, templates], {"table": gr.JSON})
