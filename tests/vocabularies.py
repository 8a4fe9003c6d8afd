"""Tokenizers of every kind that a component may bring, trained on the spot."""

import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = [
    "Once upon a time a fox had a lantern, and the lantern was bright.\n",
    "Where is the lantern? The fox has the lantern; the foxglove has none.\n",
    "Había una vez un zorro que tenía una linterna. El zorro no tenía miedo.\n",
] * 3
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIAL = ["<unk>", "<s>", "</s>"]
ROLES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def byte_level(size: int = 340, text: list[str] = TEXT) -> PreTrainedTokenizerFast:
    """As GPT-2 has it: one special token for everything."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict.fromkeys(["bos_token", "eos_token", "unk_token"], "<|endoftext|>"),
    )


def llama(size: int = 120, *, legacy: bool = False) -> PreTrainedTokenizerFast:
    """As Llama has it: SentencePiece BPE with bytes for what it has not seen.

    The legacy form puts its prefix space in the normalizer, the newer in the pre-tokenizer; here it
    also knows lower case only.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    # SentencePiece reads line by line, so that a line break is always its byte.
    tokenizer.train_from_iterator([line.strip() for line in TEXT], trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    letters = [token for token in learned["vocab"] if token not in SPECIAL]
    tokenizer = Tokenizer(
        models.BPE(
            {token: index for index, token in enumerate(SPECIAL + BYTE_TOKENS + letters)},
            [tuple(merge) for merge in learned["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if legacy:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"), normalizers.Lowercase()]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ROLES)


def unigram(size: int = 120) -> PreTrainedTokenizerFast:
    """SentencePiece Unigram, without bytes: it cannot write a line break."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([line.strip() for line in TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ROLES)


def wordpiece(size: int = 160) -> PreTrainedTokenizerFast:
    """As BERT has it: lower case, `##` before what goes on with a word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[UNK]", "[PAD]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")


def legacy_llama() -> PreTrainedTokenizerFast:
    return llama(legacy=True)
