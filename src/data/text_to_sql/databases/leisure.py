"""Databases about music, films, books and sport."""

from ..database import Database, Table, category, date, key, name, number, reference
from .words import CITIES, COUNTRIES, FIRST, LAST

MUSIC = Database("music", (
    Table("artist", "artist", "artists", 32, (
        key("artist_id"),
        name("name", "name", "Silver|Blue|Paper|Velvet|Broken|Electric|Northern|Quiet",
             "Foxes|Rivers|Lanterns|Kings|Echoes|Sisters|Satellites|Mirrors"),
        category("country", "country", COUNTRIES, "from {}"),
        number("founded", "founding year", (1965, 2018),
               "founded after {}|founded before {}|youngest|oldest", adds=False),
    )),
    Table("album", "album", "albums", 90, (
        key("album_id"),
        name("title", "title", "Midnight|Golden|Hollow|Distant|Summer|Winter|Crystal|Burning|"
             "Secret|Last", "Harbour|Garden|Letters|Machine|Dreams|Mountain|Letters|"
             "Highway|Season|Parade|Island"),
        reference("artist_id", "artist", "by {}", "that released"),
        category("genre", "genre", "rock|jazz|folk|soul|electronic|classical", "in the genre {}"),
        number("minutes", "running time", (24, 92),
               "longer than {} minutes|shorter than {} minutes|longest|shortest"),
        number("price", "price", (4.5, 34), "priced above {}|priced below {}|"
               "most expensive|cheapest", step=0.25),
        date("released", "release date", (1990, 2023), "released"),
    )),
    Table("concert", "concert", "concerts", 70, (
        key("concert_id"),
        name("tour", "tour name", "Autumn|Spring|World|Farewell|Acoustic|Midsummer|Harvest|Comet",
             "Tour|Nights|Sessions|Gala|Weekend|Revue|Party|Evening",
             "I|II|III"),
        reference("artist_id", "artist", "given by {}", "that gave"),
        category("city", "city", CITIES, "in {}"),
        number("visitors", "number of visitors", (150, 24000), "with more than {} visitors|"
               "with fewer than {} visitors|best attended|{} with the fewest visitors", step=10),
        date("played", "concert date", (2015, 2024), "played"),
        number("donated", "donation", (100, 5000), "that donated more than {}|"
               "that donated less than {}|most generous|least generous", missing=0.3),
    )),
))  # fmt: skip

FILM = Database("film", (
    Table("studio", "studio", "studios", 16, (
        key(),
        name("studio_name", "name", "Lighthouse|Red Door|Paramesh|Tidewater|Old Mill|Falcon|"
             "Marigold|Glasshouse", "Pictures|Films|Studios|Productions"),
        category("city", "city", CITIES, "based in {}"),
        number("staff", "number of employees", (12, 900), "with more than {} employees|"
               "with fewer than {} employees|largest|smallest"),
    )),
    Table("director", "director", "directors", 30, (
        key(),
        name("full_name", "name", FIRST, LAST),
        category("nationality", "nationality", "French|Japanese|Brazilian|Polish|Indian|Danish|"
                 "Kenyan", "of {} nationality"),
        number("born", "birth year", (1938, 1994),
               "born after {}|born before {}|youngest|oldest", adds=False),
    )),
    Table("film", "film", "films", 110, (
        key(),
        name("title", "title", "The Silent|A Perfect|The Seventh|Beyond the|One More|The Crooked|"
             "My Favourite|Under the", "Witness|Bridge|Journey|Orchard|Stranger|"
             "Mirror|Promise|Storm|Clockmaker|Tide|Apartment|Border|Comet|Dinner|Engine"),
        reference("director_id", "director", "directed by {}", "who directed"),
        reference("studio_id", "studio", "made by {}", "that made"),
        category("genre", "genre", "drama|comedy|thriller|western|horror|documentary",
                 "of the genre {}"),
        number("rating", "rating", (2.1, 9.8), "rated above {}|rated below {}|best rated|"
               "worst rated", step=0.1, adds=False),
        number("budget", "budget", (200, 90000), "with a budget above {}|with a budget below {}|"
               "most expensive|cheapest", step=50),
        date("premiere", "premiere date", (1985, 2024), "first shown"),
    )),
    Table("award", "award", "awards", 60, (
        key(),
        name("prize", "title", "Golden|Silver|Crystal|Bronze|Amber",
             "Lion|Palm|Reel|Camera|Swan|Rose", "A|B|C|D"),
        reference("film_id", "film", "won by {}", "that won"),
        number("year", "year", (1990, 2024), "given after {}|given before {}|latest|earliest",
               adds=False),
        category("category", "category", "acting|directing|music|script|camera",
                 "given for {}"),
        number("money", "prize money", (500, 20000), "worth more than {}|worth less than {}|"
               "most valuable|least valuable", step=100, missing=0.25),
    )),
))  # fmt: skip

LIBRARY = Database("library", (
    Table("author", "author", "authors", 34, (
        key("id"),
        name("name", "name", FIRST, LAST),
        category("country", "country", COUNTRIES, "from {}"),
        number("birth_year", "year of birth", (1880, 1995),
               "born after {}|born before {}|youngest|oldest", adds=False),
    )),
    Table("book", "book", "books", 120, (
        key("id"),
        name("title", "title", "The Cartographer's|A History of|Letters from|The Garden of|"
             "Notes on|The Last|Return to|Songs of", "Salt|Winter|Glass|Lisbon|Bees|"
             "Silence|Rivers|Thunder|Maps|Dust|Light|Ravens|Clay|Wolves|Paper|Iron"),
        reference("author_id", "author", "written by {}", "who wrote"),
        category("language", "language", "English|French|German|Polish|Spanish|Arabic",
                 "written in {}"),
        number("pages", "number of pages", (64, 980), "with more than {} pages|"
               "with fewer than {} pages|thickest|thinnest"),
        date("published", "publication date", (1950, 2024), "published"),
        category("shelf", "shelf", "A1|A2|B1|B2|C1", "on shelf {}", missing=0.2),
    )),
    Table("member", "member", "members", 60, (
        key("id"),
        name("name", "name", FIRST, LAST),
        category("town", "home town", CITIES, "living in {}"),
        number("age", "age", (8, 91), "older than {}|younger than {}|oldest|youngest", adds=False),
        date("joined", "joining date", (2008, 2024), "who joined"),
    )),
    Table("loan", "loan", "loans", 240, (
        key("id"),
        reference("book_id", "book", "of {}", "with"),
        reference("member_id", "member", "taken out by {}", "with"),
        date("borrowed", "loan date", (2021, 2024), "made"),
        number("days", "length in days", (1, 60), "that lasted more than {} days|"
               "that lasted fewer than {} days|longest|shortest"),
        number("fine", "fine", (1, 25), "with a fine above {}|with a fine below {}|"
               "{} with the highest fine|{} with the lowest fine", step=0.5, missing=0.6),
    )),
))  # fmt: skip

FOOTBALL = Database("football", (
    Table("club", "club", "clubs", 20, (
        key("club_id"),
        name("club_name", "name", CITIES, "United|Rovers|Athletic"),
        category("league", "league", "Premier League|First Division|Second Division",
                 "in the {}"),
        number("stadium_seats", "number of stadium seats", (2500, 81000),
               "with more than {} stadium seats|with fewer than {} stadium seats|"
               "{} with the largest stadium|{} with the smallest stadium", step=100, adds=False),
        number("founded_year", "founding year", (1880, 1999),
               "founded after {}|founded before {}|youngest|oldest", adds=False),
    )),
    Table("player", "player", "players", 150, (
        key("player_id"),
        name("player_name", "name", FIRST, LAST),
        reference("club_id", "club", "playing for {}", "that employ"),
        category("position", "position", "goalkeeper|defender|midfielder|striker",
                 "playing as {}"),
        number("height_cm", "height in cm", (164, 204), "taller than {} cm|shorter than {} cm|"
               "tallest|shortest", adds=False),
        number("goals", "number of goals", (0, 180), "with more than {} goals|"
               "with fewer than {} goals|top-scoring|{} with the fewest goals"),
        date("birth_date", "date of birth", (1984, 2006), "born"),
        number("market_value", "market value", (100, 9000), "worth more than {}|"
               "worth less than {}|most valuable|least valuable", step=50, missing=0.2, adds=False),
    )),
    Table("injury", "injury", "injuries", 90, (
        key("injury_id"),
        reference("player_id", "player", "suffered by {}", "who had"),
        category("body_part", "body part", "knee|ankle|shoulder|hamstring|back|foot",
                 "of the {}"),
        number("days_out", "number of days out", (2, 240), "that took more than {} days to heal|"
               "that took fewer than {} days to heal|longest|shortest"),
        date("happened_on", "injury date", (2018, 2024), "that happened"),
    )),
))  # fmt: skip
