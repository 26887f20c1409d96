"""Writes goldens/all-minilm-l6-v2.json: texts and what sentence-transformers makes of them.

  python3 -m venv .cache/parity-venv
  .cache/parity-venv/bin/pip install torch==2.13.0
  .cache/parity-venv/bin/pip install sentence-transformers
  .cache/parity-venv/bin/python test/parity/make-goldens.py MODEL_FOLDER

MODEL_FOLDER holds the unpacked model (`understudy models list` prints it). It knows nothing of Understudy.
"""

import base64
import json
import sys
from pathlib import Path

import numpy
import sentence_transformers
import torch

LONG = " ".join(
    f"In step {i} the clerk compares the reference number with the ledger, then files the receipt."
    for i in range(60)
)
TEXTS = [
    "",
    " ",
    "a",
    "Hello world",
    "How do I activate my new card?",
    "how do i activate my new card?",
    "HOW DO I ACTIVATE MY NEW CARD?",
    "My card hasn't arrived yet, it's been two weeks.",
    "I'd like to top-up my account by 1,250.00 € using Apple Pay...",
    "Why was I charged $3.50 on 2026-11-23 at 10:45:01?",
    "  leading, trailing   and \t inner \n white space  ",
    "one\r\ntwo\r\nthree",
    "no-break\u00a0space and\u2009thin space",
    "zero\u200bwidth and soft\u00adhyphen",
    "control \u0007 characters \u0000 and \ufffd replacement",
    "Straße, naïve café, Ångström, İstanbul, ﬁne ligature",
    "e\u0301 combining versus é composed",
    "Привет, как дела? Где моя карта?",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "你好，世界。我的银行卡在哪里？",
    "こんにちは世界、カードが届きません。",
    "안녕하세요 세계, 카드가 도착하지 않았습니다",
    "mixed 中文 and English with 日本語 together",
    "🙂",
    "I love it 😍😍😍 thanks a lot 👍🏽",
    "family 👨‍👩‍👧‍👦 and flag 🇩🇪",
    "𝕱𝖆𝖓𝖈𝖞 𝖑𝖊𝖙𝖙𝖊𝖗𝖘 and 𠜎 rare ideograph",
    "[CLS] special [SEP] tokens [MASK] [PAD] [UNK] in text",
    "##ing ##ed word pieces",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org",
    '{"intent": "card_arrival", "score": 0.93, "tags": ["a", "b"]}',
    "def f(x):\n    return x ** 2  # a comment",
    "!!! ??? ... --- ___ *** ((( )))",
    "x" * 99,
    "x" * 100,
    "x" * 101 + " and then a word",
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "word " * 253,
    "word " * 254,
    "word " * 255,
    LONG,
    "字" * 400,
]


def main(folder: str) -> None:
    torch.set_num_threads(1)
    model = sentence_transformers.SentenceTransformer(folder, device="cpu")
    rows = numpy.stack([model.encode(text, convert_to_numpy=True) for text in TEXTS])
    golden = {
        "model": "all-minilm-l6-v2",
        "torch": torch.__version__,
        "sentenceTransformers": sentence_transformers.__version__,
        "maxTokens": model.max_seq_length,
        "texts": TEXTS,
        "embeddings": base64.b64encode(rows.astype("<f4").tobytes()).decode(),
    }
    path = Path(__file__).parent / "goldens" / "all-minilm-l6-v2.json"
    path.write_text(json.dumps(golden, ensure_ascii=True, indent=1) + "\n")
    print(path, rows.shape)


if __name__ == "__main__":
    main(sys.argv[1])
