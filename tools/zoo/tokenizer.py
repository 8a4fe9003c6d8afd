"""The one tokenizer that every bundled component uses: a byte-level BPE of 4,096 entries.

The English tales are five times as long as the Spanish novels, so the Spanish text is read several
times: merges follow frequency, and Spanish would otherwise be cut into letters.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from manticore.components.zoo import has_zoo, zoo_folder
from manticore.stories.generator import generate_stories

logger = logging.getLogger(__name__)

VOCAB_SIZE = 4096
END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
MAX_LENGTH = 1024
STORIES = 1500
"""Generated stories per language that the tokenizer learns from, which repeat few words."""
STORY_SEED = 10_000
SPANISH_WEIGHT = 0.7
"""Amount of Spanish text that the tokenizer reads, relative to the English."""

# Words keep one leading space; a punctuation mark keeps the line breaks that follow it, so that the
# end of a paragraph is one token; digits stand alone.
WORD_PATTERN = (
    r"['’](?:[sdmt]|ll|ve|re)(?!\p{L})| ?\p{L}+| ?\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_GLOSS = re.compile(r"=[^=]+=")
_ENGLISH = re.compile(r"\b(?:the|of|and|to|is|with|for|this)\b")
_SPANISH = re.compile(r"\b(?:que|de|la|el|los|en|se|por|con)\b")


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int = VOCAB_SIZE
) -> PreTrainedTokenizerFast:
    """Learn the merges and wrap them as Transformers loads them.

    Args:
        texts: Documents; repeat one to give it more weight.
        vocab_size: Number of tokens, including the 256 bytes and the two special tokens.

    Raises:
        ValueError: `vocab_size` leaves no room for bytes and special tokens.
    """
    if vocab_size < 258:
        raise ValueError(
            f"vocab_size={vocab_size} is too small. Use at least 258, for 256 bytes and 2 special "
            "tokens."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    logger.info("Trained a tokenizer of %d tokens.", tokenizer.get_vocab_size())
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PAD,
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def shared_tokenizer(*, data_dir: Path, work_dir: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of every bundled component.

    It is taken from `work_dir/tokenizer`; or else from a bundled component, as a component that is
    trained again has to share it with the others; or else trained and kept in `work_dir/tokenizer`.

    Args:
        data_dir: Folder with the texts to train it on.
        work_dir: Folder in which it is kept.

    Raises:
        FileNotFoundError: It has to be trained and `data_dir` lacks a text.
    """
    folder = work_dir / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        bundled = sorted(zoo_folder().glob("*/tokenizer.json")) if has_zoo() else []
        tokenizer = (
            AutoTokenizer.from_pretrained(bundled[0].parent)
            if bundled
            else train_tokenizer(tokenizer_texts(data_dir))
        )
        tokenizer.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def tokenizer_texts(data_dir: Path) -> Iterator[str]:
    """The weighted reading list that the shared tokenizer is trained on.

    Args:
        data_dir: Folder with `tales_en.train.txt` and `novels_es.train.txt`.

    Raises:
        FileNotFoundError: One of the two texts is missing.
    """
    english, spanish = (
        read_text(data_dir / name) for name in ("tales_en.train.txt", "novels_es.train.txt")
    )
    yield english
    spanish = spanish_prose(spanish)
    for _ in range(max(1, round(SPANISH_WEIGHT * len(english) / len(spanish)))):
        yield spanish
    for language in ("en", "es"):
        yield from generate_stories(language, n_stories=STORIES, seed=STORY_SEED)


def read_text(path: Path) -> str:
    """A UTF-8 text file, whole.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: The file is missing; the message says where it was expected.
    """
    check_text(path)
    return path.read_text(encoding="utf-8")


def check_text(path: Path) -> None:
    """Refuse a text that does not exist.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: The file is missing; the message says where it was expected.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Pass the folder that holds it as data_dir (`--data`)."
        )


def spanish_prose(text: str) -> str:
    """Spanish prose alone, without the English notes and glossary of an annotated edition.

    Args:
        text: Paragraphs separated by blank lines.
    """
    kept = [
        paragraph
        for paragraph in text.split("\n\n")
        if not _GLOSS.search(paragraph)
        and len(_ENGLISH.findall(paragraph)) <= len(_SPANISH.findall(paragraph))
    ]
    return "\n\n".join(kept)
