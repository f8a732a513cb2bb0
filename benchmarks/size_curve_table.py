"""The table of `size_curve.py`: 24 invented products, and three groups of wordings."""

from __future__ import annotations

import random

NAMES = [
    "Brintal",
    "Vosque",
    "Tarumi",
    "Ostrelle",
    "Quandor",
    "Pellix",
    "Zimbra",
    "Harnole",
    "Jovex",
    "Kestrin",
    "Lumora",
    "Mirabo",
    "Nexil",
    "Obrana",
    "Palvera",
    "Rindow",
    "Selkano",
    "Tavique",
    "Ulmara",
    "Vendrix",
    "Wistora",
    "Yarrone",
    "Cadmire",
    "Fenlow",
]
VALUES = {
    "colour": [
        "red",
        "blue",
        "green",
        "yellow",
        "black",
        "white",
        "purple",
        "orange",
        "grey",
        "brown",
        "pink",
        "turquoise",
    ],
    "material": [
        "oak",
        "steel",
        "glass",
        "leather",
        "bamboo",
        "cotton",
        "copper",
        "marble",
        "plastic",
        "wool",
        "granite",
        "silver",
    ],
    "country": [
        "Norway",
        "Peru",
        "Kenya",
        "Japan",
        "Canada",
        "Portugal",
        "Vietnam",
        "Greece",
        "Chile",
        "Morocco",
        "Finland",
        "India",
    ],
    "price": [str(number) for number in range(19, 400)],
    "designer": [
        "Anna Keller",
        "Tom Reyes",
        "Mia Sato",
        "Jonas Berg",
        "Lena Novak",
        "Omar Haddad",
        "Clara Dubois",
        "Ivan Petrov",
        "Ruth Cohen",
        "Paul Jensen",
        "Nina Rossi",
        "Hugo Silva",
    ],
}
TAUGHT = (
    "What is the {column} of {key}?",
    "{column} of {key}?",
    "Tell me the {column} of the {key}.",
    "Which {column} does {key} have?",
    "Give the {column} for {key}.",
)
"""The teacher learns the table in these; the column is named in all of them."""
FURTHER = {
    "colour": [
        "What hue is {key}?",
        "What does {key} look like, in terms of hue?",
        "Which tint has {key}?",
        "How is {key} tinted?",
        "What tone is the {key} product painted in?",
        "If I buy {key}, which hue do I get?",
        "Describe the tint of {key} in a word.",
        "{key} is dyed in what?",
    ],
    "material": [
        "What is {key} made of?",
        "Out of what is {key} made?",
        "{key} consists of what?",
        "What stuff is {key} built from?",
        "Which substance makes up {key}?",
        "What do they use to make {key}?",
        "From what is the {key} crafted?",
        "{key} is composed of what?",
    ],
    "country": [
        "Where is {key} made?",
        "Where does {key} come from?",
        "From which nation is {key}?",
        "In which place is {key} manufactured?",
        "What is the origin of {key}?",
        "Which part of the world is {key} from?",
        "{key} is imported from where?",
        "Where do they assemble {key}?",
    ],
    "price": [
        "How much is {key}?",
        "What does {key} cost?",
        "How many dollars is {key}?",
        "What do I pay for {key}?",
        "How expensive is {key}?",
        "For how much does {key} sell?",
        "What would {key} set me back?",
        "What amount is charged for {key}?",
    ],
    "designer": [
        "Who made the design of {key}?",
        "Who thought up {key}?",
        "Who came up with {key}?",
        "By whom was {key} conceived?",
        "Whose idea is {key}?",
        "Who is the creator of {key}?",
        "Which person invented {key}?",
        "Who is behind {key}?",
    ],
}
"""Wordings without gold answers: the teacher answers them, and the student learns from that."""
HELD_OUT = {
    "colour": [
        "Which shade is {key}?",
        "How would you paint a picture of {key}, with which paint?",
        "Is {key} red, blue or something else?",
    ],
    "material": [
        "What would I feel if I touched {key}: wood, metal, or what?",
        "What was used to produce {key}?",
        "Which raw stuff goes into {key}?",
    ],
    "country": [
        "Where was {key} produced?",
        "On a map, where would I find the factory of {key}?",
        "Which state is home to {key}?",
    ],
    "price": [
        "How much money do I need to buy {key}?",
        "What is the bill for one {key}?",
        "How much would a shop ask for {key}?",
    ],
    "designer": [
        "Who drew {key} first?",
        "Who is the person that created {key}?",
        "Who should I thank for {key}?",
    ],
}
"""Nobody was trained on these; none of them names its column."""


def questions(group: str, *, seed: int) -> list[dict[str, str]]:
    """Ask about each cell in the wordings of a group: `taught`, `further` or `held_out`.

    The cells are drawn by the seed.
    """
    source = random.Random(seed)
    cells = {key: {c: source.choice(v) for c, v in VALUES.items()} for key in NAMES}
    wordings = {"further": FURTHER, "held_out": HELD_OUT}.get(group, dict.fromkeys(VALUES, TAUGHT))
    return [
        {"question": wording.format(column=column, key=key), "answer": cells[key][column]}
        for key in NAMES
        for column in VALUES
        for wording in wordings[column]
    ]
