"""Values are compared by what they are, and never by likeness."""

import pytest
from stillroom.understanding.table.same_value import same_value

SAME = """
89 € | 89,00 €
89 € | 89.00 EUR
89,00 € | EUR 89
€89 | 89 euros
89.00 | 89,00 €
$1,200 | 1200 dollars
$1.2 million | 1,200,000 USD
£147.00 | 147 pounds
25kg | 25 kg
25 kg | 25,0 kg
0.25 t | 250 kg
250 g | 0,25 kg
1.5 km | 1500 m
1,5 km | 1500 metres
200 mm | 20 cm
2 m | 200 cm
310 ml | 0.31 l
14 days | 2 weeks
14 days | 14
16.50 | 16,5
1,234 | 1234
1.234.567 | 1,234,567
12 467 | 12,467
70.7% | 70,7 %
70.7% | 70.7 percent
850 W | 0.85 kW
18 V | 18V
-14 | −14
3 | 3.0
0.021 kg | 21 g
2:09:41 | 2:09:41
1:30:00 | 90 min
2026-03-15 | 15 March 2026
2026-03-15 | March 15, 2026
2026-03-15 | 15.03.2026
15.3.2026 | 15.03.2026
5 May 1943 | May 5th, 1943
egg, gluten, milk | milk, egg, gluten
egg, gluten, milk | milk, egg and gluten
egg, gluten, milk | Egg; Milk; Gluten
English, German | German and English
rot und blau | blau, rot
A / B | B, A
yes | Yes.
yes | Yes, it is.
no | No, it is not in stock
no | No.
no | nein
nein | Nein, leider nicht.
yes | ja
ja | Ja, sofort.
true | yes
false | no
no | false
Vienna | vienna
Straße | STRASSE
Ibrahim Baré Maïnassara | ibrahim bare mainassara
O’Brien | O'Brien
Peace lily | peace  lily
Gold. | gold
U.S. | U.S
100–200 | 100-200
3 of 4 | 3 of 4
none | None
"""
DIFFERENT = """
89 € | 89 $
89 € | 98 €
89,00 € | 89,00 € per kg
89 € | 89 € and 5 €
89 € | 89 kg
89 € | about 89 € or more
25 kg | 25 g
25 kg | 25 m
25 kg | 2.5 kg
25 kg | 25
1.5 km | 1.5 m
1500 m | 1500
14 days | 14 weeks
14 days | 15 days
10 | 100
10 | 1.0
-14 | 14
70.7% | 70.7 kg
850 W | 850 V
gluten, milk, nuts, fish | gluten, milk, nuts
gluten, milk | gluten
egg, gluten | egg, gluten, egg
egg, gluten | egg, glue
English, German | English, French
salt and pepper | salt
not no | no
not yes | yes
no nuts | no
no | No nuts in it
yes | no
yes | No, it is not
no | Yes, it is not
yes | perhaps
no | nothing
no | number 1
none | no
no | 0
yes | 1
2026-03-15 | 2026-03-16
2026-03-15 | March 2026
2026-03-15 | 2026
2026-03-15 | 15 March 2025
15 March | 15 May
May 5, 1943 | born on May 5, 1943
1943 | 1944
Vienna | Vienna, Austria
Vienna | Viena
Halle 1 | Halle 2
Halle 1 | Halle
M-101 | M-102
A-1012 | A-1021
Gold | Golden
Iron | Irony
red | blue
not red | red
Ada | Ada Lovelace
2:09:41 | 2:09:42
1-2 | 2-1
3 of 4 | 4 of 3
100–200 | 100
first | 1st place
x | times
the price is 89 € | 89 €
"""


def pairs(text):
    return [tuple(line.split(" | ")) for line in text.strip().splitlines()]


def test_there_are_enough_pairs():
    assert len(pairs(SAME)) + len(pairs(DIFFERENT)) >= 120


@pytest.mark.parametrize(("one", "other"), pairs(SAME))
def test_the_same(one, other):
    assert same_value(one, other)
    assert same_value(other, one)


@pytest.mark.parametrize(("one", "other"), pairs(DIFFERENT))
def test_different(one, other):
    assert not same_value(one, other)
    assert not same_value(other, one)


@pytest.mark.parametrize("text", ["", "   ", "."])
def test_nothing_is_the_same_as_nothing(text):
    assert not same_value(text, "")
    assert not same_value(text, "no")
