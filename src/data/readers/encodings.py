"""Guessing the encoding of a text that is not UTF-8, with a certainty.

The text is decoded in each encoding that is common in tables and scored: whether the letters of a
word are of one script with regular case, whether they are letters of one language (Latin scripts)
or its frequent letters (other scripts), and whether Chinese, Japanese and Korean characters are
common ones. `charset-normalizer` decides between two equally likely encodings of the last three.
Encodings that decode a text to the same characters count as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

SAMPLE_BYTES = 1 << 15
MIN_SCORE, MIN_LEAD = 0.65, 0.09
_ENOUGH_LETTERS = 12

# Letters beyond ASCII, language by language.
_WESTERN = (
    "àâæçéèêëîïôœùûüÿ", "äöüßé", "áéíóúüñ", "áâãàçéêíóôõúü", "àèéìîòóù", "åäöæøéü", "ëéèïöüáó",
    "áðéíóúýþæö", "àçèéíïòóúü", "äöå",
)  # fmt: skip
_CENTRAL = (
    "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţ", "čćđšž", "äöüß",
)  # fmt: skip
_TURKISH = ("çğıiöşüâîû\u0307",)
_BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž")
_CYRILLIC = ("оеаинтсрвлкмдпуязыьгбчйх", "оаинівтреслкдумпзяьгїєбч")
_GREEK = ("αοιετσνηυρπκμλςωάέήίόύώθγδ",)
_HEBREW = ("אבגדהוזחטיכךלמםנןסעפףצץקרשת",)
_ARABIC = ("اليمونتبرةدسفعكهقحجأشصخىئطذ",)
_THAI = ("านรกเงมยลวดทสตะปบ่้ีอคัิแหพุจ์ไ",)
_RARE = frozenset("ðþý")
"""Letters of Icelandic alone; the Turkish encoding has other letters at these bytes."""
_FINAL_HEBREW = "ךםןףץ"
_COMMON_HAN = frozenset(
    "的一是不了人在有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可"
    "里后小么心多天而能好都没日于起发成事只作当想看文开手用主行方又如前所本见经面公同三已老从动两长"
    "名市区省县路城海南北东西京州山江河安高新商品价格數量人口總國學區縣東長門馬車電話會這來時後說們"
)
_SINGLE: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    # encoding, prior, letters by language
    ("cp1252", 1.0, _WESTERN),
    ("cp1250", 0.92, _CENTRAL),
    ("cp1251", 1.0, _CYRILLIC),
    ("cp1253", 1.0, _GREEK),
    ("cp1254", 1.0, _TURKISH),
    ("cp1255", 1.0, _HEBREW),
    ("cp1256", 1.0, _ARABIC),
    ("cp1257", 0.9, _BALTIC),
    ("cp874", 1.0, _THAI),
    ("iso8859_2", 0.92, _CENTRAL),
    ("koi8_r", 1.0, _CYRILLIC),
    ("koi8_u", 0.99, _CYRILLIC),
    ("cp866", 1.0, _CYRILLIC),
    ("cp850", 0.8, _WESTERN),
    ("cp437", 0.79, _WESTERN),
    ("mac_roman", 0.8, _WESTERN),
)
_LETTERS = {encoding: (prior, languages) for encoding, prior, languages in _SINGLE}
_DOUBLE: tuple[tuple[str, tuple[range, ...]], ...] = (
    # encoding, first bytes of its common characters
    ("cp932", (range(0x81, 0x84), range(0x88, 0x98))),
    ("euc_jp", (range(0xA1, 0xA6), range(0xB0, 0xD0))),
    ("gb18030", (range(0xA1, 0xA4), range(0xB0, 0xD8))),
    ("big5", (range(0xA1, 0xC7),)),
    ("cp949", (range(0xA1, 0xA4), range(0xB0, 0xC9))),
)
_SYMBOLS = frozenset("°€£§©®«»–—‘’“”„…·•¿¡½¼¾²³×±µºª¥¢†‡‰™№\xa0")
_CONTROL = re.compile("[\x80-\x84\x86-\x9f]")
_JOINERS = frozenset("’·\xad")
_LONE_LETTERS = frozenset("àéèóáöåíúêôùüœýøæоаиувксяіηοαוה")
_SCRIPTS: tuple[tuple[int, int, str], ...] = (
    (0x41, 0x24F, "latin"), (0x370, 0x3FF, "greek"), (0x400, 0x52F, "cyrillic"),
    (0x590, 0x5FF, "hebrew"), (0x600, 0x6FF, "arabic"), (0xE00, 0xE7F, "thai"),
    (0x1E00, 0x1EFF, "latin"), (0x3040, 0x30FF, "kana"), (0x3400, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "hangul"),
)  # fmt: skip
_CELL_END = re.compile(r"[,;\t\r\n|]")
_WORD = re.compile(r"[^\W\d_]+(?:[\u0300-\u036f\u0e30-\u0e4e\u064b-\u0652]+[^\W\d_]*)*")


@dataclass(frozen=True)
class Guess:
    """Possible encodings, the most plausible first."""

    readings: tuple[tuple[str, float, str], ...]
    """(encoding, score from 0 to 1, a cell of the decoded text)."""

    @property
    def certainty(self) -> float:
        """Score of the first reading; 0 where another is nearly as plausible."""
        if not self.readings:
            return 0.0
        best = self.readings[0][1]
        lead = best - (self.readings[1][1] if len(self.readings) > 1 else 0.0)
        return best if best >= MIN_SCORE and lead >= MIN_LEAD else 0.0


def guess_encoding(data: bytes) -> Guess:
    """Guess the encoding of bytes that are not UTF-8.

    Args:
        data: Whole lines, or the beginning of a text.
    """
    sample = _odd_lines(data)
    found: dict[str, tuple[str, float]] = {}
    for encoding, score, text in _scores(sample):
        if text not in found or score > found[text][1]:
            found[text] = (encoding, score)
    ranked = sorted(found.items(), key=lambda item: -item[1][1])
    readings: list[tuple[str, float, str]] = []
    for text, (encoding, score) in ranked:
        if readings and score > MIN_SCORE:
            score = min(score, readings[0][1] - _lead_where_different(ranked[0], (text, encoding)))
        if score > 0.2:
            readings.append((encoding, round(score, 2), _excerpt(text)))
    return Guess((*readings[:1], *sorted(readings[1:], key=lambda reading: -reading[1])))


def _lead_where_different(best: tuple[str, tuple[str, float]], other: tuple[str, str]) -> float:
    """Score how much better a reading is in the cells where another differs."""
    (text, (encoding, _)), (other_text, other_encoding) = best, other
    pairs = [
        pair
        for pair in zip(_CELL_END.split(text), _CELL_END.split(other_text), strict=False)
        if pair[0] != pair[1]
    ]
    if encoding not in _LETTERS or other_encoding not in _LETTERS or not pairs:
        return 0.0
    scores = [
        _LETTERS[name][0] * _score_letters("\n".join(cells), _LETTERS[name][1], name == "cp1252")
        for name, cells in (
            (encoding, [a for a, _ in pairs]),
            (other_encoding, [b for _, b in pairs]),
        )
    ]
    return scores[0] - scores[1]


def guess_wide(head: bytes) -> str | None:
    """Detect UTF-16 without a mark, and ISO-2022-JP of mails, from the first bytes."""
    if any(mark in head for mark in (b"\x1b$B", b"\x1b$@", b"\x1b(J")) and head.isascii():
        return "iso2022_jp"
    zeros = head.count(0)
    if zeros < 2:
        return None
    even = head[: len(head) // 2 * 2]
    for name, low, high in (
        ("utf-16-le", even[::2], even[1::2]),
        ("utf-16-be", even[1::2], even[::2]),
    ):
        pairs = list(zip(low, high, strict=True))
        latin = sum(h == 0 and (x > 31 or x in b"\t\r\n") for x, h in pairs)
        ends = sum(h == 0 and x in b"\r\n,;\t" for x, h in pairs)
        if latin >= 0.95 * zeros and (latin >= 0.5 * len(pairs) or ends >= 2):
            try:
                even.decode(name, errors="strict" if len(head) < 4096 else "ignore")
            except UnicodeDecodeError:
                continue
            return name
    return None


def _odd_lines(data: bytes) -> bytes:
    """Give the lines that are not ASCII, up to `SAMPLE_BYTES`."""
    lines: list[bytes] = []
    size = 0
    for line in re.split(rb"(?<=\n)|(?<=\r)", data):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size >= SAMPLE_BYTES:
                break
    if len(lines) > 1 and size >= SAMPLE_BYTES:
        lines.pop()  # it may end within a character
    return b"".join(lines)


def _scores(sample: bytes) -> list[tuple[str, float, str]]:
    scores: list[tuple[str, float, str]] = []
    for encoding, prior, languages in _SINGLE:
        text = _decoded(sample, encoding)
        if text is not None:
            western = encoding == "cp1252"
            scores.append((encoding, prior * _score_letters(text, languages, western), text))
    double = [
        (encoding, _score_double(text, encoding, leads), text)
        for encoding, leads in _DOUBLE
        if (text := _decoded(sample, encoding)) is not None
    ]
    close = [one for one in double if one[1] >= max(s for _, s, _ in double) - MIN_LEAD]
    if len(close) > 1 and close[0][1] > MIN_SCORE:
        likely = _by_frequency(sample, [encoding for encoding, _, _ in close])
        double = [
            (e, s if e == likely or (e, s, t) not in close else s - 0.3, t) for e, s, t in double
        ]
    return scores + double


def _decoded(sample: bytes, encoding: str) -> str | None:
    try:
        return sample.decode(encoding)
    except UnicodeDecodeError as fault:
        if fault.start >= len(sample) - 3 and fault.start > 3:  # cut within a character
            return sample[: fault.start].decode(encoding)
        return None


def _by_frequency(sample: bytes, encodings: list[str]) -> str | None:
    """Let charset-normalizer choose; None where two are equal."""
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample, cp_isolation=encodings))
    if not matches:
        return None
    tied = [
        m for m in matches if m.chaos <= matches[0].chaos and m.coherence >= matches[0].coherence
    ]
    return matches[0].encoding if len(tied) == 1 else None


def _score_letters(text: str, languages: tuple[str, ...], western: bool) -> float:
    """Score from 0 to 1 how well a text fits one of some languages."""
    if _CONTROL.search(text):
        return 0.0
    letters, symbols, odd = "", 0, 0
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isascii():
            continue
        foreign = [c for c in word if not c.isascii()]
        if _is_odd_word(word):
            odd += len(foreign)
        else:
            letters += "".join(foreign)
    for place, character in enumerate(text):
        if character.isascii() or _script(character) is not None:
            continue
        around = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
        inside = (len(around) == 2 and around.isalpha()) or (
            character == "”" and text[place + 1 : place + 2].isalpha()
        )
        if character in _SYMBOLS and (not inside or character in _JOINERS):
            symbols += 1
        else:
            odd += 1
    total = len(letters) + symbols + odd
    if not total:
        return 0.0
    if not letters:
        return symbols / total
    folded = letters.lower()
    best = max(sum(map(language.__contains__, folded)) for language in languages) / len(folded)
    if "latin" in map(_script, folded):
        known = set("".join(languages)) - _RARE
        any_language = sum(map(known.__contains__, folded)) / len(folded)
        few = len(folded)
        weight = (0.9 if few < 6 else 0.8 if few < _ENOUGH_LETTERS else 0.7) if western else 0.45
        best = max(best, weight * any_language)
    if letters.isupper() and len(letters) > 1:
        best *= 0.8  # a text in capitals only may be one decoded with its case swapped
    return (best * len(letters) + symbols) / total


def _is_odd_word(word: str) -> bool:
    scripts = {_script(c) for c in word}
    if len(scripts) != 1 or scripts & {None, "han", "kana", "hangul"}:
        return True
    if any(c in _FINAL_HEBREW for c in word[:-1]):
        return True
    if len(word) == 1:
        return word not in _LONE_LETTERS
    for before, after in pairwise(word):
        if before.islower() and after.isupper() and not (before + after).isascii():
            return True
    if scripts == {"latin"} and not word.isupper():
        return re.search(r"[^\x00-\x7f]{3}", word) is not None
    return False


def _script(character: str) -> str | None:
    code = ord(character)
    if code in (0xD7, 0xF7, 0xAA, 0xBA, 0xB5) or (0x7F < code < 0xC0):
        return None
    return next((name for low, high, name in _SCRIPTS if low <= code <= high), None)


def _score_double(text: str, encoding: str, leads: tuple[range, ...]) -> float:
    """Score how common the characters of a Chinese, Japanese or Korean text are."""
    foreign = [c for c in text if not c.isascii()]
    common, kinds = 0, {"han": 0, "kana": 0, "hangul": 0}
    for character in foreign:
        script = _script(character)
        if script in kinds:
            kinds[script] += 1
        encoded = character.encode(encoding)
        common += len(encoded) == 2 and any(encoded[0] in lead for lead in leads)
    if len(foreign) < 2 or sum(kinds.values()) < len(foreign) / 2:
        return 0.0
    for match in _WORD.finditer(text):
        if any(c.isascii() for c in match.group()) and not match.group().isascii():
            common -= 1  # Latin letters inside a word, as where a byte was joined to the next
    score = max(common, 0) / len(foreign)
    if encoding in ("gb18030", "big5"):
        share = sum(c in _COMMON_HAN for c in foreign) / len(foreign)
        return score * (0.85 + 0.15 * min(1.0, share / 0.15))
    if encoding in ("cp932", "euc_jp") and not kinds["kana"]:
        return 0.9 * score
    return score


def _excerpt(text: str) -> str:
    """Give a cell with a character beyond ASCII."""
    cells = [c for c in _CELL_END.split(text) if not c.isascii()]
    return min(cells, key=lambda c: abs(len(c) - 12))[:40].strip() if cells else text[:40]
