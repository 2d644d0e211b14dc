"""The description of the endpoints (/gradio_api/info) in words, with examples that run as they are printed.

Gradio describes a component by its label, and a label in two languages is no text; it puts a picture of another
computer into its examples, and breaks lines inside of a string.
"""

import copy
import json
import shlex
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.route_utils import get_root_url
from gradio.utils import get_function_description
from starlette.requests import Request

from demo_app.texts import TEXTS

API, PATH = "/gradio_api/", "/gradio_api/info"
Values = dict[str, Any]


class Described:
    """The middleware that mends the description on its way out."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].rstrip("/") != PATH:
            return await self.app(scope, receive, send)
        start: Values = {}
        body = b""

        async def keep(message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")

        await self.app(scope, receive, keep)
        if start["status"] == 200:
            root = get_root_url(Request(scope), PATH, scope["app"].root_path)
            body = json.dumps(described(json.loads(body), scope["app"].get_blocks(), root)).encode()
            start["headers"] = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            start["headers"].append((b"content-length", str(len(body)).encode()))
        await send(start)
        await send({"type": "http.response.body", "body": body})


def described(info: Values, blocks: gr.Blocks, root: str) -> Values:
    """info as gradio makes it, with the words of the functions' docstrings. root: the address of the app."""
    functions = {f"/{fn.api_name}": fn.fn for fn in blocks.fns.values() if fn.fn is not None}
    parameters = [one for endpoint in info["named_endpoints"].values() for one in endpoint["parameters"]]
    samples = max((_files(one.get("parameter_default")) for one in parameters), key=len, default=[])
    for name, endpoint in info["named_endpoints"].items():
        _, words, returned = get_function_description(functions[name])
        for parameter in endpoint["parameters"]:
            parameter["label"] = text_of(parameter["label"])
            said = words.get(parameter["parameter_name"], "")
            parameter["python_type"]["description"] = said[:1].upper() + said[1:]
            _point_here(parameter, root, samples)
        for one in endpoint["returns"]:
            one["label"] = text_of(one["label"])
            one["python_type"]["description"] = " ".join(returned)
        printed = programs(name, endpoint["parameters"], root, blocks.space_id)
        endpoint["code_snippets"] = endpoint.get("code_snippets", {}) | printed
    return info


def text_of(label: Any) -> str:
    """A label in English. label: a text, or gradio's note of a key of our texts."""
    return TEXTS["en"].get(label.get("key", ""), "") if isinstance(label, dict) else str(label)


def _files(value: Any) -> list[Values]:
    """The files of a value."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, dict) and "path" in one]


def _point_here(parameter: Values, root: str, samples: list[Values]) -> None:
    """The example of a picture is one of this app's."""
    if _files(parameter["example_input"]):
        default = parameter.get("parameter_default") or samples
        for file in _files(default):
            file["url"] = f"{root}{API}file={file['path']}"
        parameter["example_input"] = copy.deepcopy(default)


def programs(name: str, parameters: list[Values], root: str, space: str | None = None) -> dict[str, str]:
    """How an endpoint is asked, in four languages, with values that do. Gradio's own programs break texts of several
    lines, ask for one file where a list is wanted, and read the number of a job in a subshell."""
    values = {one["parameter_name"]: one.get("parameter_default") if one.get("parameter_has_default")
              else one["example_input"] for one in parameters}
    short = {key: _with_files(value, lambda file: {"path": file["path"], "meta": {"_type": "gradio.FileData"}})
             for key, value in values.items()}
    return {"python": _python(name, values, space or root), "javascript": _javascript(name, values, space or root),
            "bash": _bash(name, short, root),
            "cli": f"{{command}} predict {space or root} {name} {shlex.quote(_json(short, 2))}"}


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _with_files(value: Any, change: Callable[[Values], Any]) -> Any:
    """A value whose files are changed."""
    if isinstance(value, list):
        return [_with_files(one, change) for one in value]
    return change(value) if _files(value) else value


def _called(values: Values, written: Callable[[Any], str]) -> dict[str, str]:
    """Values as a language writes them, with handle_file around the addresses of files."""
    files: list[str] = []

    def noted(file: Values) -> str:
        files.append(f"handle_file({written(file['url'])})")
        return f"FILE {len(files) - 1}"

    texts = {key: written(_with_files(value, noted)) for key, value in values.items()}
    for k, file in enumerate(files):
        texts = {key: text.replace(written(f"FILE {k}"), file) for key, text in texts.items()}
    return texts


def _python(name: str, values: Values, source: str) -> str:
    lines = "".join(f"    {key}={text},\n" for key, text in _called(values, repr).items())
    return (f"from gradio_client import Client, handle_file\n\nclient = Client({source!r})\n"
            f"result = client.predict(\n{lines}    api_name={name!r},\n)\nprint(result)")


def _javascript(name: str, values: Values, source: str) -> str:
    lines = "".join(f"  {key}: {text},\n" for key, text in _called(values, _json).items())
    return (f'import {{ Client, handle_file }} from "@gradio/client";\n\n'
            f"const client = await Client.connect({_json(source)});\n"
            f"const result = await client.predict({_json(name)}, {{\n{lines}}});\nconsole.log(result.data);")


def _bash(name: str, values: Values, root: str) -> str:
    """Two requests: one starts the job and gets its number, the other waits for the answer."""
    upload = (f"# a file of your own: curl -s {root}{API}upload -F 'files=@picture.png' answers with its \"path\"\n"
              if any(_files(value) for value in values.values()) else "")
    return (f"{upload}JOB=$(curl -s {root}{API}call/v2{name} -H 'Content-Type: application/json' \\\n"
            f"  -d {shlex.quote(_json(values))} | cut -d '\"' -f 4)\ncurl -N {root}{API}call{name}/$JOB")
