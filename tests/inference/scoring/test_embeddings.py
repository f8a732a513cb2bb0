"""A student as an embedding model: LangChain's suites, and what a mean of hidden states must be."""

import pytest
import torch
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from stillroom.errors import GenerationError
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.scoring.embeddings import StudentEmbeddings
from tiny_model import END, make_model, make_tokenizer, make_trained

TEXTS = ["gold", "the symbol of silver is Ag, and gold melts at 1064 degrees", "", "一 你好", END]


class _Ours:
    @property
    def embeddings_class(self):
        return StudentEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": make_trained()}


class TestUnits(_Ours, EmbeddingsUnitTests):
    """Starting one."""


class TestVectors(_Ours, EmbeddingsIntegrationTests):
    """Texts to vectors."""


def peer_mean(checkpoint, text):
    """Compute with `output_hidden_states`, one text at a time."""
    ids = checkpoint.tokenizer([text], split_special_tokens=True, return_tensors="pt")["input_ids"]
    if ids.shape[1] == 0:
        ids = torch.tensor([[checkpoint.tokenizer.eos_token_id]])
    with torch.inference_mode():
        states = checkpoint.model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
    mean = states[0].mean(dim=0)
    return mean / mean.norm()


def test_vectors_are_means_of_the_last_hidden_states(tiny):
    found = StudentEmbeddings(tiny).embed_documents(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        assert torch.allclose(torch.tensor(vector), peer_mean(tiny, text), atol=1e-5)
        assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)


def test_a_text_has_the_same_vector_alone_and_in_a_batch(tiny):
    embeddings = StudentEmbeddings(tiny)
    together = embeddings.embed_documents(TEXTS * 20)
    for text, vector in zip(TEXTS, together, strict=False):
        assert embeddings.embed_query(text) == pytest.approx(vector, abs=1e-5)
    assert together[5:10] == together[10:15]
    assert embeddings.embed_documents([]) == []


def test_a_text_longer_than_the_context_is_read_in_parts(tiny):
    long = "gold and silver " * 400
    embeddings = StudentEmbeddings(tiny)
    [vector] = embeddings.embed_documents([long])
    ids = tiny.tokenizer([long])["input_ids"][0]
    room = tiny.model.config.max_position_embeddings
    assert len(ids) > 2 * room
    with torch.inference_mode():
        total = sum(
            tiny.model.model(torch.tensor([ids[at : at + room]])).last_hidden_state[0].sum(dim=0)
            for at in range(0, len(ids), room)
        )
    assert torch.allclose(torch.tensor(vector), total / total.norm(), atol=1e-5)


def test_damaged_weights_are_an_error_and_no_vector():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(float("nan"))
    with pytest.raises(GenerationError, match="damaged"):
        StudentEmbeddings(Checkpoint(model, tokenizer, None, "bad", {})).embed_query("gold")
