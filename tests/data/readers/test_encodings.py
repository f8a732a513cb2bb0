"""Encodings of text files: what is sure is read and told, what is not is refused with what to pass."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import pytest
from stillroom.data.readers.encodings import guess_encoding
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records, read_table
from stillroom.errors import DataError

TABLES = {
    "german": "Ort,Land\nMünster,Westfalen\nLübeck,Schleswig\nGießen,Hessen\nÖhringen,Württemberg\n",
    "french": "ville,région\nBesançon,Franche-Comté\nÉvreux,Normandie\nAngoulême,Nouvelle-Aquitaine\n",
    "spanish": "ciudad,país\nLogroño,España\nMálaga,España\nTucumán,Argentina\n",
    "portuguese": "cidade,estado\nSão Luís,Maranhão\nBelém,Pará\nGoiânia,Goiás\nMaceió,Alagoas\n",
    "danish": "by,ø\nÅrhus,Jylland\nNæstved,Sjælland\nRønne,Bornholm\nSønderborg,Als\n",
    "quotes": "a,b\n“dark” roast – 2 €,x\nit’s…,y\n",
    "one letter": "drink,price\nRosé,4\n",
    "czech": "město,kraj\nTřebíč,Vysočina\nMělník,Středočeský\nÚstí nad Labem,Ústecký\nZlín,Zlínský\nKroměříž,Zlínský\nBřeclav,Jihomoravský\n",
    "polish": "miasto,rzeka\nToruń,Wisła\nŚwidnica,Bystrzyca\nZamość,Łabuńka\nRzeszów,Wisłok\nWłocławek,Wisła\n",
    "russian": "город,река\nТверь,Волга\nПсков,Великая\nОмск,Иртыш\nЯкутск,Лена\n",
    "ukrainian": "місто,річка\nЛьвів,Полтва\nКиїв,Дніпро\nЧернівці,Прут\nВінниця,Південний Буг\n",
    "greek": "πόλη,νησί\nΗράκλειο,Κρήτη\nΡόδος,Ρόδος\nΚέρκυρα,Κέρκυρα\nΜυτιλήνη,Λέσβος\n",
    "turkish": "şehir,bölge\nMuğla,Ege\nŞanlıurfa,Güneydoğu\nAğrı,Doğu\nÇankırı,İç Anadolu\nKırşehir,İç Anadolu\n",
    "hebrew": "עיר,אזור\nנתניה,השרון\nאשדוד,הדרום\nעכו,הצפון\nבאר שבע,הנגב\n",
    "arabic": "مدينة,بلد\nالإسكندرية,مصر\nالرباط,المغرب\nبيروت,لبنان\nعمان,الأردن\n",
    "japanese": "商品,値段\nおにぎり,120\nラーメン,650\n緑茶,100\nうどん,400\n",
    "chinese": "商品,价格\n绿茶,10\n大米,25\n酱油,12\n人民路,3\n",
    "korean": "도시,강\n대전,갑천\n광주,영산강\n수원,황구지천\n",
}
READ = [
    ("german", "cp1252"), ("german", "latin-1"), ("german", "cp850"), ("french", "cp1252"), ("spanish", "latin-1"), ("portuguese", "cp1252"),
    ("danish", "cp1252"), ("quotes", "cp1252"), ("one letter", "cp1252"), ("czech", "cp1250"), ("polish", "cp1250"), ("polish", "iso8859-2"),
    ("russian", "cp1251"), ("russian", "koi8-r"), ("russian", "cp866"), ("ukrainian", "cp1251"), ("greek", "cp1253"),
    ("turkish", "cp1254"), ("hebrew", "cp1255"), ("arabic", "cp1256"), ("japanese", "shift_jis"), ("japanese", "euc_jp"),
    ("japanese", "iso2022_jp"), ("chinese", "gb18030"), ("korean", "euc_kr"),
    ("german", "utf-16-le"), ("german", "utf-16-be"), ("russian", "utf-16-le"), ("russian", "utf-16-be"), ("japanese", "utf-16-le"),
]  # fmt: skip


def rows_of(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.splitlines()]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize(("table", "encoding"), READ, ids=[f"{t} {e}" for t, e in READ])
def test_reads_what_is_sure_and_tells_it(tmp_path, table, encoding, suffix):
    header, *rows = rows_of(TABLES[table])
    text = TABLES[table]
    if suffix == "jsonl":
        text = "".join(f'{{"{header[0]}": "{a}", "{header[1]}": "{b}"}}\n' for a, b in rows)
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(text.encode(encoding))
    report = ReadReport(quiet=True)
    records = list(iter_records(path, report=report))
    assert [[str(v) for v in r.values()] for r in records] == rows
    assert list(records[0]) == header
    told = [n for n in report.notes if "is read as" in n]
    assert len(told) == 1
    assert "pass --encoding (encoding=...)" in told[0]


def test_utf_8_is_never_guessed(tmp_path):
    for table in TABLES.values():
        path = tmp_path / "t.csv"
        path.write_text(table, encoding="utf-8")
        report = ReadReport(quiet=True)
        assert len(list(iter_records(path, report=report))) == len(rows_of(table)) - 1
        assert not report.notes


UNSURE = [
    ("Danish or Czech", "by,n\nMøn,1\nFalkenø,2\nPísek,3\n".encode("cp1252")),
    ("no writing", b"a,b\n\xd3\xe1\x98\xff,1\n\xc2\xa0\xd7\x90\xf1,2\n\xf4\xa9\xb1\xcd,3\n"),
]


@pytest.mark.parametrize("data", [u[1] for u in UNSURE], ids=[u[0] for u in UNSURE])
def test_what_is_not_sure_is_refused_with_what_to_pass(tmp_path, data):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"pass --encoding \w+ \(encoding='\w+'\)") as caught:
        read_table(path)
    assert caught.value.line is not None
    assert read_table(path, encoding="latin-1")


def test_the_refusal_shows_how_the_text_reads(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(UNSURE[0][1])
    with pytest.raises(DataError, match="no other encoding is sure") as caught:
        read_table(path)
    assert "'Møn'" in str(caught.value) or "'Falkenø'" in str(caught.value)


def test_a_letter_far_down_a_plain_file_is_read(tmp_path):
    """Megabytes of ASCII were handed out before the encoding shows."""
    plain = b"".join(b"%d,x\n" % i for i in range(300_000))
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + plain + "1,Müller\n2,Größe\n".encode("cp1252") + plain)
    records = read_table(path)
    assert len(records) == 600_002
    assert records[300_000:300_002] == [{"a": "1", "b": "Müller"}, {"a": "2", "b": "Größe"}]


def test_bytes_that_the_guess_cannot_read_are_named(tmp_path):
    path = tmp_path / "t.csv"
    filler = b"x,1\n" * 300_000
    path.write_bytes("a,b\nMüller,1\n".encode("cp1252") + filler + b"\x81\x8d,2\n")
    with pytest.raises(DataError, match="is not cp1252") as caught:
        read_table(path)
    assert caught.value.row == 300_002


def test_a_named_encoding_is_taken_without_a_word(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(TABLES["russian"].encode("cp1251"))
    report = ReadReport(quiet=True)
    list(iter_records(path, encoding="cp1251", report=report))
    assert not report.notes


def test_nothing_comes_of_nothing():
    assert guess_encoding(b"").certainty == 0.0
