"""Chat templates of four families, in our own words, and a tokenizer with their special tokens."""

from __future__ import annotations

from functools import cache

from forms import without_tags

GREETING = "You are a test."
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + GREETING + "<|im_end|>\n"
    "{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "[INST] {{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %}"
    " {{ m['content'] }}{{ eos_token }}{% else %}{{ raise_exception('Only user and assistant') }}"
    "{% endif %}{% endfor %}"
)
UNPROMPTED = (  # knows no add_generation_prompt
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)
THINKING = (  # like Qwen 3: an empty thought where none is wanted
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if loop.last and m['role'] == "
    "'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and "
    "not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
OPEN_THOUGHT = (  # like DeepSeek-R1: the prompt opens a thought, and a turn shows none
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}\n" + UNPROMPTED
TEMPLATES = {
    "chatml": CHATML,
    "llama 3": LLAMA_3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "unprompted": UNPROMPTED,
    "thinking": THINKING,
    "open thought": OPEN_THOUGHT,
    "dated": DATED,
}
ENDS = {"llama 3": "<|eot_id|>", "gemma": "<end_of_turn>", "mistral": "<|end|>"}
"""Token after an answer; `<|im_end|>` where none is named."""
SPECIAL = [
    *("<s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"),
]


@cache
def chat_tokenizer(name):
    """Make a tokenizer with one of the templates, or with None; its end token is `<|end|>`."""
    tokenizer = without_tags()
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL, "bos_token": "<s>"})
    tokenizer.chat_template = None if name is None else TEMPLATES[name]
    return tokenizer


def pieces_ids(tokenizer, pieces):
    """Tokenise special tokens by their ids and all other pieces as plain text."""
    ids = []
    for piece in pieces:
        if piece in tokenizer.all_special_tokens:
            ids.append(tokenizer.convert_tokens_to_ids(piece))
        else:
            options = {"add_special_tokens": False, "split_special_tokens": True}
            ids += tokenizer(piece, **options)["input_ids"]
    return ids
