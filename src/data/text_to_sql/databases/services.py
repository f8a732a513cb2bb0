"""Databases about health, teaching, travel and food."""

from ..database import Database, Table, category, date, key, name, number, reference
from .words import CITIES, COUNTRIES, FIRST, LAST

HOSPITAL = Database("hospital", (
    Table("ward", "ward", "wards", 12, (
        key("ward_no"),
        name("ward_name", "name", "Rosa|Linden|Sunrise|Maple|Harbour|Cedar",
             "Ward|Unit"),
        number("floor", "floor", (0, 7), "above floor {}|below floor {}|highest|lowest",
               adds=False),
        number("beds", "number of beds", (6, 48), "with more than {} beds|with fewer than {} beds|"
               "largest|smallest"),
    )),
    Table("doctor", "doctor", "doctors", 36, (
        key("doctor_no"),
        name("doctor_name", "name", FIRST, LAST),
        reference("ward_no", "ward", "working in {}", "staffed with"),
        category("specialty", "specialty", "cardiology|surgery|neurology|paediatrics|oncology",
                 "specialised in {}"),
        number("salary", "salary", (3200, 14800), "earning more than {}|earning less than {}|"
               "best paid|worst paid", step=50),
        date("hired", "hiring date", (1995, 2024), "hired"),
    )),
    Table("patient", "patient", "patients", 110, (
        key("patient_no"),
        name("patient_name", "name", FIRST, LAST),
        category("blood_type", "blood type", "A+|A-|B+|B-|AB+|0+|0-", "with blood type {}"),
        number("weight_kg", "weight in kg", (38, 131), "heavier than {} kg|lighter than {} kg|"
               "heaviest|lightest", step=0.5),
        date("birthday", "birthday", (1932, 2018), "born"),
        category("allergy", "allergy", "penicillin|latex|nuts|pollen", "allergic to {}",
                 missing=0.6),
    )),
    Table("visit", "visit", "visits", 220, (
        key("visit_no"),
        reference("patient_no", "patient", "by {}", "with"),
        reference("doctor_no", "doctor", "to {}", "who received"),
        category("reason", "reason", "check-up|pain|fever|accident|vaccination",
                 "because of {}"),
        number("cost", "cost", (20, 2400), "priced above {}|priced below {}|"
               "most expensive|cheapest", step=5),
        date("visit_date", "visit date", (2020, 2024), "made"),
    )),
))  # fmt: skip

UNIVERSITY = Database("university", (
    Table("departments", "department", "departments", 14, (
        key("dept_id"),
        name("dept_name", "name", "Applied|Theoretical|Modern",
             "Physics|Biology|History|Linguistics|Economics|Geography"),
        category("building", "building", "Newton Hall|Curie House|North Tower|Old Library",
                 "housed in {}"),
        number("budget", "budget", (40000, 950000), "with a budget above {}|"
               "with a budget below {}|richest|poorest", step=1000),
    )),
    Table("lecturers", "lecturer", "lecturers", 48, (
        key("lecturer_id"),
        name("lecturer_name", "name", FIRST, LAST),
        reference("dept_id", "departments", "in the department of {}", "with"),
        category("rank", "rank", "professor|reader|assistant|tutor", "with the rank of {}"),
        number("age", "age", (26, 70), "older than {}|younger than {}|oldest|youngest", adds=False),
        category("phone", "phone number", "4711|4712|4713|4714|4715", "with the phone number {}",
                 missing=0.35),
    )),
    Table("courses", "course", "courses", 80, (
        key("course_id"),
        name("course_title", "title", "Introduction to|Advanced|Topics in|Seminar on",
             "Optics|Genetics|Rome|Syntax|Markets|Glaciers|Statistics|Ethics|Plasma|Maps|Trade|"
             "Cells|Dialects|Waves|Empires|Rivers|Tax|Fossils|Logic|Poetry"),
        reference("lecturer_id", "lecturers", "taught by {}", "who teach"),
        category("term", "term", "spring|summer|autumn|winter", "offered in {}"),
        number("credits", "number of credits", (2, 12), "worth more than {} credits|"
               "worth fewer than {} credits|{} with the most credits|{} with the fewest credits"),
        number("seats", "number of seats", (8, 400), "with more than {} seats|"
               "with fewer than {} seats|largest|smallest"),
    )),
    Table("exams", "exam", "exams", 160, (
        key("exam_id"),
        reference("course_id", "courses", "for {}", "with"),
        date("held_on", "exam date", (2019, 2024), "held"),
        category("room", "room", "R101|R102|R210|R305|Aula", "in room {}"),
        number("average_mark", "average mark", (1.1, 5.9), "with an average mark above {}|"
               "with an average mark below {}|{} with the highest average mark|"
               "{} with the lowest average mark", step=0.1, adds=False),
    )),
))  # fmt: skip

AIRLINE = Database("airline", (
    Table("airport", "airport", "airports", 20, (
        key("airport_id"),
        name("airport_name", "name", CITIES, "Airport|International"),
        category("country", "country", COUNTRIES, "in {}"),
        number("runways", "number of runways", (1, 6), "with more than {} runways|"
               "with fewer than {} runways|{} with the most runways|{} with the fewest runways"),
        number("elevation", "elevation", (0, 2300), "higher than {} metres|"
               "lower than {} metres|highest|lowest", adds=False),
    )),
    Table("aircraft", "aircraft", "aircraft", 26, (
        key("aircraft_id"),
        name("registration", "registration", "OE|SP|LN|CS|EI",
             "ABA|BKT|CLM|DRO|EFS|FGN|HHU|JKW|LXZ"),
        category("maker", "maker", "Airbus|Boeing|Embraer|Bombardier|ATR", "built by {}"),
        number("capacity", "number of seats", (48, 380), "with more than {} seats|"
               "with fewer than {} seats|largest|smallest"),
        date("first_flight", "date of the first flight", (1996, 2023), "first flown"),
    )),
    Table("flight", "flight", "flights", 190, (
        key("flight_id"),
        name("flight_number", "flight number", "ST|QX|VN",
             "|".join(str(n) for n in range(101, 180))),
        reference("airport_id", "airport", "leaving from {}", "with departures of"),
        reference("aircraft_id", "aircraft", "flown with {}", "used for"),
        number("distance_km", "distance in km", (180, 9400), "farther than {} km|"
               "shorter than {} km|longest|shortest", step=10),
        number("ticket_price", "ticket price", (29, 1450), "that cost more than {}|"
               "that cost less than {}|most expensive|cheapest"),
        date("flight_date", "flight date", (2022, 2024), "departing"),
        number("delay", "delay in minutes", (1, 300), "delayed by more than {} minutes|"
               "delayed by less than {} minutes|most delayed|least delayed", missing=0.5),
    )),
))  # fmt: skip

RESTAURANT = Database("restaurant", (
    Table("restaurants", "restaurant", "restaurants", 28, (
        key(),
        name("name", "name", "The Green|The Hungry|Chez|Casa|Little",
             "Olive|Anchor|Paulette|Bear|Lantern|Fig|Pepper|Moon"),
        category("cuisine", "cuisine", "Italian|Thai|Mexican|Lebanese|Indian|Greek",
                 "serving {} food"),
        category("district", "district", "Old Town|Harbour|Riverside|North End|Hilltop",
                 "in {}"),
        number("stars", "number of stars", (1, 5), "with more than {} stars|"
               "with fewer than {} stars|{} with the most stars|{} with the fewest stars",
               step=0.5, adds=False),
        date("opened", "opening date", (1990, 2024), "opened"),
    )),
    Table("dishes", "dish", "dishes", 130, (
        key(),
        name("dish", "name", "Grilled|Spicy|Creamy|Roasted|Crispy|Pickled",
             "Aubergine|Lamb|Mussels|Noodles|Chickpeas|Squid|Mushrooms|Duck|Tofu|Peppers|Trout|"
             "Beans|Pumpkin|Beef|Rice|Prawns|Cabbage|Salmon|Lentils|Chicken|Okra|Leek|Cod|Goat"),
        reference("restaurant_id", "restaurants", "on the menu of {}", "that offer"),
        category("course", "course", "starter|main|dessert|side", "served as a {}"),
        number("price", "price", (3, 48), "priced above {}|priced below {}|"
               "most expensive|cheapest", step=0.5),
        number("calories", "number of calories", (80, 1500), "with more than {} calories|"
               "with fewer than {} calories|richest|lightest", step=5, missing=0.2),
    )),
    Table("reviews", "review", "reviews", 200, (
        key(),
        reference("restaurant_id", "restaurants", "of {}", "with"),
        category("source", "source", "newspaper|website|magazine|guide", "from a {}"),
        number("score", "score", (1, 100), "that scored above {}|that scored below {}|"
               "{} with the highest score|{} with the lowest score", adds=False),
        date("written_on", "review date", (2018, 2024), "written"),
    )),
))  # fmt: skip
