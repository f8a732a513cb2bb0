"""Questions as people type them, written by hand for three tables.

The right answers are read from the table. The questions are not adapted to what the workflow can
answer: some name a column by words that neither the table nor its wordings contain ("how heavy").
The workflow may abstain then; it must not give a wrong answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grounding_questions import Case
from stillroom.agentic_workflow.grounding.answer_check import answers_agree
from stillroom.tables import FactTable

FREE = "free wording"
NO_ANSWER = "free wording, no answer"
ANSWERED: dict[str, tuple[tuple[str, str, str], ...]] = {
    "elements": (
        ("symbol for iron?", "Iron", "symbol"),
        ("How heavy is an atom of gold?", "Gold", "atomic_mass"),
        ("which group does neon belong to", "Neon", "group"),
        ("Is mercury solid, liquid or gas?", "Mercury", "phase"),
        ("What do chemists write for tungsten?", "Tungsten", "symbol"),
        ("atomic no. of tin", "Tin", "atomic_number"),
        ("What kind of element is helium?", "Helium", "category"),
        ("In what row of the periodic table is sodium?", "Sodium", "period"),
        ("how electronegative is fluorine", "Fluorine", "electronegativity"),
        ("What's the mass of uranium", "Uranium", "atomic_mass"),
        ("silver abbreviation", "Silver", "symbol"),
        ("Which block is iron in?", "Iron", "block"),
        ("potassium's number?", "Potassium", "atomic_number"),
        ("Tell me the phase of bromine at room temperature", "Bromine", "phase"),
        ("How are the electrons of carbon arranged in shells?", "Carbon", "electron_shells"),
        ("Pb - what is its atomic mass?", "Lead", "atomic_mass"),
        ("what category would you put xenon in", "Xenon", "category"),
        ("I forgot the symbol of copper, what was it again?", "Copper", "symbol"),
    ),
    "countries": (
        ("What's the capital city of France?", "France", "capital"),
        ("how big is Kenya", "Kenya", "area"),
        ("Which money do they use in Japan?", "Japan", "currencies"),
        ("What do you call someone from Norway?", "Norway", "demonyms.eng.m"),
        ("Where in the world is Laos?", "Laos", "region"),
        ("capital peru", "Peru", "capital"),
        ("two letter code for Switzerland", "Switzerland", "cca2"),
        ("What continent is Egypt on?", "Egypt", "region"),
        ("currency used in Poland?", "Poland", "currencies"),
        ("Which subregion does Vietnam belong to?", "Vietnam", "subregion"),
        ("Which city is the capital of Canada?", "Canada", "capital"),
        ("surface area of Iceland in km2", "Iceland", "area"),
        ("People from Greece are called?", "Greece", "demonyms.eng.m"),
        ("Name the capital of Ghana.", "Ghana", "capital"),
        ("what is india's currency code", "India", "currencies"),
        ("Tell me which region Brazil lies in", "Brazil", "region"),
        ("ISO code of Portugal?", "Portugal", "cca2"),
        ("What is the seat of government of Chile?", "Chile", "capital"),
    ),
    "albums": (
        ("Who recorded American Idiot?", "American Idiot", "artist"),
        ("Which band made Appetite for Destruction?", "Appetite for Destruction", "artist"),
        ("how long is Back to Black", "Back to Black", "minutes"),
        ("How many songs are on Achtung Baby?", "Achtung Baby", "tracks"),
        ("What style of music is Ace Of Spades?", "Ace Of Spades", "genre"),
        ("artist of Audioslave", "Audioslave", "artist"),
        ("Black Album - who is the artist?", "Black Album", "artist"),
        ("number of tracks on Big Ones", "Big Ones", "tracks"),
        ("genre of Bark at the Moon (Remastered)?", "Bark at the Moon (Remastered)", "genre"),
        ("How many minutes does Angel Dust run?", "Angel Dust", "minutes"),
        ("who's the artist behind A-Sides", "A-Sides", "artist"),
        ("What genre would you file Afrociberdelia under?", "Afrociberdelia", "genre"),
        ("Balls to the Wall is by whom?", "Balls to the Wall", "artist"),
        ("Which genre is Beyond Good And Evil?", "Beyond Good And Evil", "genre"),
        ("Are You Experienced?: artist?", "Are You Experienced?", "artist"),
        ("Total playing time in minutes of Album Of The Year", "Album Of The Year", "minutes"),
    ),
}  # fmt: skip
UNANSWERED: dict[str, tuple[str, ...]] = {
    "elements": (
        "Who discovered radium?",
        "How much does an ounce of gold cost?",
        "What does gold melt at?",
        "Which is the heaviest element?",
        "What is rust made of?",
        "Is mercury poisonous?",
        "When was oxygen discovered?",
        "What is the symbol of water?",
        "How many neutrons does carbon 14 have?",
        "Name all noble gases",
        "Which elements are in group 18?",
        "Who is the president of Germany?",
        "symbol of unobtainium?",
        "Why is copper red?",
        "What is the density of lead?",
        "Gold or silver?",
    ),
    "countries": (
        "How many people live in France?",
        "Who is the king of Norway?",
        "What is the capital of Bavaria?",
        "Which country is the largest?",
        "What language do they speak in Brazil?",
        "Is Kenya safe to travel to?",
        "What is the capital of France and Germany?",
        "When did India become independent?",
        "Which countries use the euro?",
        "what's the weather in Oslo",
        "What was the capital of West Germany?",
        "What is the area of Paris?",
        "Which ocean lies west of Portugal?",
        "Second largest city of Canada?",
        "What is the capital of Middle-earth?",
        "dialling code for Japan",
    ),
    "albums": (
        "When did American Idiot come out?",
        "Who played drums on Achtung Baby?",
        "How many copies did Back to Black sell?",
        "Who recorded Thriller?",
        "What is the longest album?",
        "Is Big Ones any good?",
        "Which albums are by U2?",
        "What label released the Black Album?",
        "How long is the first song of Angel Dust?",
        "Who produced Appetite for Destruction?",
        "What is the genre of Metallica?",
        "Play Audioslave",
        "Which album is by the Beatles?",
        "How much is Ace Of Spades?",
        "Where was Balls to the Wall recorded?",
        "Is A-Sides better than Big Ones?",
    ),
}


def free_cases(name: str, table: FactTable) -> list[Case]:
    """Give the questions written for a table; none where there are none."""
    rows = {row.key: row for row in table.rows}
    asked = [
        Case(question, FREE, (rows[key].values[column],), (rows[key].row,))
        for question, key, column in ANSWERED.get(name, ())
    ]
    return asked + [Case(question, NO_ANSWER) for question in UNANSWERED.get(name, ())]


def count_free(cases: Sequence[Case], answer: Callable[[str], Any]) -> Counter[str]:
    """Ask the questions one way, and sort what was said.

    Args:
        cases: Of `free_cases`.
        answer: Gives `text` and `verdict` of a question.

    Returns:
        Count by kind and what became of it, such as `free wording: right`.
    """
    counted: Counter[str] = Counter()
    for case in cases:
        said = answer(case.question)
        if said.verdict == "abstained":
            what = "abstained"
        elif said.verdict != "agrees":
            what = "given as unverified"
        else:
            right = any(answers_agree(said.text, value) for value in case.answers)
            what = "right" if right else "wrong"
        counted[f"{case.kind}: {what}"] += 1
    return counted


def free_lines(counted: Mapping[str, Counter[str]]) -> list[str]:
    """Write the counts as a table, a column for each way."""
    names = [f"{kind}: {what}" for kind in (FREE, NO_ANSWER)
             for what in ("right", "wrong", "given as unverified", "abstained")]  # fmt: skip
    rows = [
        f"| {name} | {' | '.join(str(found[name]) for found in counted.values())} |"
        for name in names
        if any(found[name] for found in counted.values())
    ]
    if not rows:
        return []
    head = ["", "Questions as people type them, written by hand; those about what is not there are "
            "often about the world or ask for a list:", "",
            f"| | {' | '.join(counted)} |", "|---|" + "--:|" * len(counted)]  # fmt: skip
    return head + rows
