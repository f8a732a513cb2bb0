"""Words that frame a question without saying what is asked for, as in "could you look up ..."."""

from __future__ import annotations

from ..text_matching import STOP_WORDS, stem

TURNING = frozenset({"not", "than", "except", "without", "never", "no", "other", "but"})
"""Words that change the meaning of a question that asks for a cell."""
ASKING = frozenset({"who", "whom", "whose", "when", "where"})
"""Question words that can tell columns apart: who discovered it, when was it discovered."""
_FRAME = """
    accord actual answer appear ask assign belong bit call cell check column confirm contain
    correct curious current data database dataset datum detail display entry exact fact fetch
    field figure file find forget forgot forgotten found full give given got help hold identify
    info information kindly learn list listed look lookup made mention name named need note
    offer order precise present print provide question quickly read recall record recorded
    register remember remind report retrieve return right row say search see select something
    specify state stored table text thing think true try understand use value wonder word write
"""
_LIGHT = """
    again already always anyway around at behind briefly by called comes currently ever exactly
    generally goes got happen happens inside into just lie lies located normally onto perhaps
    please put quite really s situated sit sits stand stands still today under used using
    usually via whatever within you yourself
"""
FRAMING = frozenset(form for word in (_FRAME + _LIGHT).split() for form in (word, stem(word)))
"""Words about questions and tables, and words without content; `s` is that of "[Live]'s"."""
_UNSPACED_FRAME = """
    的 是 多少 什么 甚么 什麼 甚麼 哪 哪里 哪裡 哪儿 谁 誰 几 幾 请问 請問 请 請
    告诉 告訴 我 想 知道 吗 嗎 呢 在 有 为 為 个 個
    の は が を に も と 何 なに なん です ですか でしょう か 教え て ください
    どこ だれ 誰 いくつ いくら いつ どれ くらい ある あり ます
    ของ คือ เป็น อะไร เท่าไร เท่าไหร่ ที่ไหน ใคร เมื่อไร เมื่อไหร่ มี อยู่
    ครับ ค่ะ คะ บอก กี่
"""
FRAMING_UNSPACED = tuple(sorted(_UNSPACED_FRAME.split(), key=len, reverse=True))
"""Framing words in scripts without spaces, the longest first."""
FRAMING |= STOP_WORDS - TURNING
