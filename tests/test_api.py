"""The verbs refuse what is not a hybrid and what is not a text, before a run is created."""

import pytest

import manticore as mc
from tests.tiny import save_component


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    folder = save_component(tmp_path_factory.mktemp("component") / "a", "mamba", layers=2)
    return mc.build_hybrid([folder], 2, projector_init="identity")


VERBS = [mc.search, mc.pretrain_projectors, mc.finetune, mc.evaluate]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("data", ["tales.txt", None, {"source": "tales.txt"}])
def test_what_is_not_a_text_is_named(hybrid, tmp_path, verb, data):
    with pytest.raises(TypeError, match=r"data=.* is not a text. Pass one from mc\.load_text"):
        verb(hybrid, data, root=tmp_path, launch=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [*VERBS, mc.program])
@pytest.mark.parametrize("wrong", ["zoo:tales-mamba", None, ["zoo:tales-mamba"]])
def test_what_is_not_a_hybrid_is_named(tmp_path, verb, wrong):
    arguments = () if verb is mc.program else (None,)
    with pytest.raises(TypeError, match=r"is not a hybrid\. Pass one from mc\.build_hybrid"):
        verb(wrong, *arguments, root=tmp_path, launch=False)
    assert list(tmp_path.iterdir()) == []
