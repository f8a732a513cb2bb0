"""Names, columns and words are found in either Unicode form, and where no blank parts the words."""
# ruff: noqa: E501 - tables read best with one case per line

import unicodedata

import pytest
from stillroom.agentic_workflow.grounding.claims import decide_claim, read_claim
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.agentic_workflow.record_search.duckdb_store import RecordStore
from stillroom.agentic_workflow.record_search.sql_tool import RecordSql
from stillroom.agentic_workflow.text_matching import Letters, fold, tokens, words
from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import build_question_set

FORMS = ("NFC", "NFD")
CITIES = [
    ("Müller", "Köln"),
    ("Café Noir", "Évry"),
    ("Ångström", "Malmö"),
    ("Ľubica Čaplovičová", "Košice"),
    ("한국은행", "서울"),
]


def reader_of(records, **settings):
    profile = profile_table(records, source="t.csv", **settings)
    return TableReader(build_question_set(records, profile).table, encoder=None)


def cities(form):
    records = [
        {"name": name, "größe": str(i), "city": city} for i, (name, city) in enumerate(CITIES)
    ]
    return [
        {unicodedata.normalize(form, k): unicodedata.normalize(form, v) for k, v in r.items()}
        for r in records
    ]


@pytest.mark.parametrize("own", FORMS)
@pytest.mark.parametrize("asked", FORMS)
@pytest.mark.parametrize(("name", "city"), CITIES)
def test_names_are_found_in_either_form(own, asked, name, city):
    reader = reader_of(cities(own))
    question = unicodedata.normalize(asked, f"What is the city of {name}?")
    found = reader.read(question)
    assert (found.verdict, found.confidence) == ("answered", 1.0)
    assert found.answer == (unicodedata.normalize(own, city),)  # shown as the file has it
    assert question in [unicodedata.normalize(asked, q) for q in reader.wordings(found.match)]
    by_label = reader.read(unicodedata.normalize(asked, f"Größe: {name}"))
    assert [unicodedata.normalize("NFC", column) for _, column in by_label.cells] == ["größe"]


@pytest.mark.parametrize("own", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_full_text_and_sql_find_either_form(own, asked):
    records = cities(own)
    table = build_question_set(records, profile_table(records, source="t.csv")).table
    with RecordStore.of(table) as store:
        for row, (name, city) in enumerate(CITIES, 1):
            assert store.search(unicodedata.normalize(asked, city), 1)[0][0] == row
            assert store.cell(row, "name") == unicodedata.normalize(own, name)
        found = RecordSql(store).query("select \"größe\" from records where city = 'Köln'")
        assert found.rows == ((0,),)


def test_questions_of_a_table_of_questions_are_found_in_either_form():
    asked = ["Où est Évry ?", "Wer ist Müller?", "東京の人口は何人ですか"]
    for own in FORMS:
        records = [
            {"question": unicodedata.normalize(own, q), "answer": str(i)}
            for i, q in enumerate(asked)
        ]
        reader = reader_of(records)
        for form in FORMS:
            for i, question in enumerate(asked):
                assert reader.read(unicodedata.normalize(form, question)).answer == (str(i),)


PLACES = {
    "chinese": [("北京", "2189"), ("北京东城", "70"), ("上海", "2487"), ("重庆", "3205")],
    "japanese": [
        ("東京", "1396"),
        ("ハト", "1"),
        ("ハトホル", "2"),
        ("バト", "3"),
        ("大阪", "883"),
    ],
    "thai": [("กรุงเทพ", "5500"), ("เชียงใหม่", "127"), ("ภูเก็ต", "79")],
    "korean": [("서울", "940"), ("부산", "330"), ("남서울", "5")],
    "mixed": [("手机A", "1"), ("手机AB", "2"), ("iPhone手机", "3")],
}


@pytest.mark.parametrize(
    ("script", "question", "key"),
    [
        ("chinese", "北京的人口是多少?", "北京"),
        ("chinese", "请问北京东城有多少人", "北京东城"),
        ("chinese", "我想知道重庆市的人口", "重庆"),
        ("japanese", "東京の人口は?", "東京"),
        ("japanese", "ハトの数を教えて", "ハト"),
        ("japanese", "ハトホルの数を教えて", "ハトホル"),
        ("japanese", "バトの数は", "バト"),
        ("japanese", "ﾊﾄの数は", "ハト"),
        ("thai", "ประชากรของกรุงเทพคือเท่าไร", "กรุงเทพ"),
        ("thai", "เชียงใหม่มีประชากรเท่าไร", "เชียงใหม่"),
        ("korean", "서울의 인구는?", "서울"),
        ("korean", unicodedata.normalize("NFD", "부산은 인구가 몇 명?"), "부산"),
        ("korean", "남서울의 인구는?", "남서울"),
        ("mixed", "请问手机A的价格", "手机A"),
        ("mixed", "请问手机AB的价格", "手机AB"),
        ("mixed", "买iPhone手机要多少", "iPhone手机"),
    ],
)
def test_names_are_found_where_no_blank_parts_the_words(script, question, key):
    reader = reader_of([{"name": n, "value": v} for n, v in PLACES[script]], key="name")
    match, others, _ = reader.named_records(question)
    assert match is not None
    assert (match.row.key, others) == (key, ())


@pytest.mark.parametrize(
    ("script", "question"),
    [
        ("japanese", "ハトホ"),
        ("korean", "동서울터미널"),
        ("mixed", "手机ABC"),
        ("thai", "กรุ"),
        ("chinese", "京"),
    ],
)
def test_parts_of_other_words_name_nothing(script, question):
    reader = reader_of([{"name": n, "value": v} for n, v in PLACES[script]], key="name")
    assert reader.named_records(question)[0] is None


def test_columns_are_found_where_no_blank_parts_the_words():
    records = [
        {"城市": n, "人口": v, "人口密度": str(i)} for i, (n, v) in enumerate(PLACES["chinese"])
    ]
    reader = reader_of(records, key="城市")
    for question, column in [("上海的人口是多少", "人口"), ("上海的人口密度是多少", "人口密度")]:
        assert reader.read(question).cells == ((3, column),)


@pytest.mark.parametrize(
    ("question", "answered"),
    [
        ("上海的人口是多少?", True),
        ("请告诉我上海的人口密度", True),
        ("上海的旧人口是多少", False),
        ("新上海的人口是多少", False),
    ],
)
def test_only_what_the_table_explains_is_answered_without_blanks(question, answered):
    records = [
        {"城市": n, "人口": v, "人口密度": str(i)} for i, (n, v) in enumerate(PLACES["chinese"])
    ]
    found = reader_of(records, key="城市").read(question)
    assert (found.verdict == "answered") is answered


@pytest.mark.parametrize(
    ("query", "row"),
    [("北京", 1), ("住", 1), ("กรุงเทพ", 2), ("กรุงเทพมหานครอยู่ไหน", 2), ("서울", 3), ("東京の塔", 4), ("tower", 4), ("ประชากรหนาแน่น", 2)],
)  # fmt: skip
def test_full_text_finds_words_inside_runs_of_letters(query, row):
    texts = [
        "我住在北京市中心",
        "กรุงเทพเป็นเมืองที่มีประชากรหนาแน่น",
        "서울특별시는 수도이다",
        "東京tower塔",
    ]
    records = [{"name": f"r{i}", "text": t} for i, t in enumerate(texts)]
    table = build_question_set(records, profile_table(records, source="t", key="name")).table
    with RecordStore.of(table) as store:
        assert store.search(query, 1)[0][0] == row


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Mu\u0308ller-Lu\u0308denscheidt", ("muller", "ludenscheidt")),
        ("cafe\u0301", ("cafe",)),
        ("हिन्दी भाषा", (fold("हिन्दी"), fold("भाषा"))),
        ("می\u200cخواهم", (fold("میخواهم"),)),
        ("co\u00adoperate", ("cooperate",)),
    ],
)
def test_marks_belong_to_their_word(text, found):
    assert words(text) == found
    assert [text[t.start : t.end] for t in tokens(text)][-1].endswith(text[-1])


def test_letters_keep_their_places():
    text = "x ﾊﾞﾅﾅ y"
    assert [text[a:b] for a, b in Letters(text).find(Letters("バナナ").text)] == ["ﾊﾞﾅﾅ"]


MATCHES = [
    {"year": str(1998 + i // 2), "opponent": ("Lions", "Bears")[i % 2], "score": s}
    for i, s in enumerate(["3:1", "2:2", "0:1", "2:2", "3:1", "1:1"])
]


def test_a_table_without_a_key_is_asked_by_its_conditions():
    reader = reader_of(MATCHES)
    for question in (
        "What is the score where year is 1999 and opponent is Lions?",
        "What is the score where opponent is Lions and year is 1999?",
    ):
        found = reader.read(question)
        assert (found.answer, found.cells) == (("0:1",), ((3, "score"),)), question
        wordings = reader.wordings(found.match)
        assert "Where year is 1999 and opponent is Lions: score?" in wordings
        source = reader.source(found.match, found.match.row)
        assert (source["row"], source["column"], source["value"]) == (3, "score", "0:1")


@pytest.mark.parametrize(
    ("claim", "right"),
    [
        ("Validate that the score where year is 1999 and opponent is Lions is 0:1", True),
        ("Check: the score where year is 1999 and opponent is Lions is 0:2", False),
        ("Check: the score where year is 1999 and opponent is Lions: 0:1", True),
    ],
)
def test_a_claim_about_a_table_without_a_key_is_decided(claim, right):
    reader = reader_of(MATCHES)
    assert decide_claim(read_claim(claim, reader), reader).agrees is right


@pytest.mark.parametrize(
    "question",
    ["What is the score of Zebra?", "score", "", "year is 1999", "What is the score where opponent is Lions?",
     "Check: the score where year is 1999 and opponent is Lions is 9:9", "Summarize record 2", "How many records?"],
)  # fmt: skip
def test_no_question_over_a_table_without_a_key_is_a_fault(question):
    reader = reader_of(MATCHES)
    found = reader.read(question)
    assert (found.verdict == "answered") is bool(found.answer)
    with RecordStore.of(reader.table) as store:
        store.search(question, 3)
        assert [row.row for row in store.all_rows()] == [1, 2, 3, 4, 5, 6]
        assert RecordSql(store).query("select count(*) from records").rows == ((6,),)
