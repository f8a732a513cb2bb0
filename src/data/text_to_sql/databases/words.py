"""Words of which names in several databases are made."""

FIRST = (
    "Aino|Amara|Björn|Carla|Dmitri|Elena|Farid|Greta|Hugo|Ines|Jonas|Keiko|Lars|Marta|Nadia|"
    "Óscar|Priya|Quentin|Rosa|Stefan|Tariq|Uma|Viktor|Wanda|Xenia|Yusuf|Zoë"
)
LAST = (
    "Abbott|Barros|Castillo|Dubois|Eriksen|Fontaine|Gupta|Hansen|Ibrahim|Jansen|Kowalski|Lindqvist|"
    "Moreau|Novak|O'Brien|Petrov|Quinn|Rossi|Sørensen|Tanaka|Ueda|Vargas|Weiß|Yilmaz|Zeman"
)
CITIES = (
    "Bergen|Bologna|Bordeaux|Cork|Dresden|Gdańsk|Ghent|Graz|Kraków|Leeds|Lisbon|Lyon|Malmö|Porto|"
    "Seville|Tampere|Turin|Utrecht|Zürich|Split"
)
COUNTRIES = "Austria|Brazil|Canada|Denmark|Egypt|France|India|Japan|Kenya|Norway|Poland|Spain"
