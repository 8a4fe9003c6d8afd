"""A conversation as one prompt."""

from manticore.hybrid.conversation import conversation_prompt
from tests.tiny import make_tokenizer

MESSAGES = [
    {"role": "user", "content": "Once"},
    {"role": "assistant", "content": " upon a time."},
    {"role": "user", "content": "Then"},
]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_without_a_template_it_is_one_running_text() -> None:
    assert conversation_prompt(make_tokenizer(), MESSAGES) == "Once upon a time. Then"


def test_a_template_lays_it_out_up_to_where_an_answer_begins() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    assert conversation_prompt(tokenizer, MESSAGES) == (
        "<user>Once\n<assistant> upon a time.\n<user>Then\n<assistant>"
    )
