"""What "Use via API" says of the endpoints: words, and programs that run as they are printed."""

import ast
import contextlib
import io
import json
import shlex
import shutil
import subprocess

import pytest

pytest.importorskip("gradio_client", reason="the app's tests need gradio: pip install 'clipmini[app]'")
import httpx  # noqa: E402

from demo_app.server.described import programs  # noqa: E402
from demo_app.texts import TEXTS  # noqa: E402
from helpers_app import running, tiny_checkpoint  # noqa: E402


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(tiny_checkpoint(tmp_path_factory.mktemp("described") / "tiny")) as url:
        yield url


@pytest.fixture(scope="module")
def endpoints(url):
    return httpx.get(f"{url}gradio_api/info", trust_env=False).json()["named_endpoints"]


def test_parameters_and_results_are_named_and_described(endpoints):
    assert len(endpoints) >= 8
    for name, endpoint in endpoints.items():
        assert endpoint["description"].endswith(("?", ".")), name
        for one in endpoint["parameters"]:
            assert one["label"] in {*TEXTS["en"].values(), "scale"} and "key" not in one["label"], (name, one)
            assert one["python_type"]["description"].endswith("."), (name, one["parameter_name"])
        for one in endpoint["returns"]:
            assert one["label"] and isinstance(one["label"], str) and one["python_type"]["description"], (name, one)
    labels = next(one for one in endpoints["/classify"]["parameters"] if one["parameter_name"] == "labels")
    assert labels["label"] == TEXTS["en"]["labels"] and labels["python_type"]["description"].startswith("Separated by")


def test_no_example_is_on_another_computer(endpoints, url):
    printed = [text for endpoint in endpoints.values() for text in endpoint["code_snippets"].values()]
    assert len(printed) >= 30 and not any("https://" in text for text in printed)
    assert any(f"{url}gradio_api/file=" in text for text in printed)


@pytest.mark.parametrize("name", ["classify", "find_phrases", "cut_out", "search_map", "map_pictures", "search_pictures",
                                  "compare_templates", "similarity_matrix", "what_it_saw", "compare_models"])
def test_a_printed_program_runs(endpoints, name):
    """As it is printed, line by line; the example is the page's own first picture with its words."""
    program, out = endpoints[f"/{name}"]["code_snippets"]["python"], io.StringIO()
    if name == "search_map":  # the tiny model has no map yet: that is said, and nothing is made in secret
        with pytest.raises(Exception, match="map"):
            exec(compile(program, name, "exec"), {})
        return
    with contextlib.redirect_stdout(out):
        exec(compile(program, name, "exec"), {})
    assert len(out.getvalue().splitlines()[-1]) > 20


def test_every_endpoint_has_a_program_that_is_run(endpoints):
    ran = test_a_printed_program_runs.pytestmark[0].args[1]
    assert {f"/{name}" for name in ran} == set(endpoints)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs bash and curl")
@pytest.mark.parametrize("name", ["classify", "similarity_matrix"])
def test_the_shells_program_runs(endpoints, name):
    """One endpoint takes a file, the other a list of files."""
    program = endpoints[f"/{name}"]["code_snippets"]["bash"]
    answer = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60).stdout
    assert answer.startswith("event: complete") and len(json.loads(answer.split("data: ", 1)[1])) >= 1, answer


def test_odd_values_stay_texts():
    """What is between quotation marks stays there, in every language."""
    odd = "a \"b\" 'c'\n\\ $(echo no) `no`"
    parameters = [{"parameter_name": "labels", "parameter_has_default": True, "parameter_default": odd}]
    printed = programs("/classify", parameters, "http://127.0.0.1:1")
    called = ast.parse(printed["python"]).body[2].value
    assert ast.literal_eval(called.keywords[0].value) == odd
    assert json.loads(printed["javascript"].split("labels: ")[1].split(",\n")[0]) == odd
    words = shlex.split(printed["cli"])
    assert json.loads(words[-1]) == {"labels": odd}
    data = shlex.split(printed["bash"].split("  -d ")[1].split(" | cut")[0])
    assert json.loads(data[0]) == {"labels": odd}
