"""Databases for measuring; no model is trained on them."""

from ..database import Database, Table, category, date, key, name, number, reference
from .words import CITIES, FIRST, LAST

MUSEUM = Database("museum", (
    Table("museum", "museum", "museums", 22, (
        key("museum_id"),
        name("museum_name", "name", "National|Municipal|Royal|Modern|Maritime",
             "Gallery|Museum|Collection|Pavilion|Hall"),
        category("town", "town", CITIES, "located in {}"),
        number("opened_in", "opening year", (1820, 2015),
               "opened after {}|opened before {}|newest|oldest", adds=False),
        number("entrance_fee", "entrance fee", (2, 28), "charging more than {}|"
               "charging less than {}|most expensive|cheapest", step=0.5),
    )),
    Table("painter", "painter", "painters", 36, (
        key("painter_id"),
        name("painter_name", "name", FIRST, LAST),
        category("movement", "movement", "cubism|realism|baroque|surrealism|romanticism",
                 "associated with {}"),
        number("lifespan", "lifespan in years", (27, 98), "who lived longer than {} years|"
               "who lived less than {} years|longest-lived|shortest-lived", adds=False),
    )),
    Table("painting", "painting", "paintings", 130, (
        key("painting_id"),
        name("caption", "caption", "Portrait of|View of|Study of|Still Life with|Dance of|"
             "Dream of", "Lemons|Sailors|a Bridge|a Clock|Horses|a Window|Clouds|"
             "Fishermen|Violets|a Door|Children|Ruins|a Harp|Owls|Snow|Shadows|a Rope|Pears|Ships|"
             "Angels|Bread|a Candle"),
        reference("painter_id", "painter", "painted by {}", "who painted"),
        reference("museum_id", "museum", "shown in {}", "that show"),
        category("technique", "technique", "oil|watercolour|fresco|tempera|ink", "made in {}"),
        number("width_cm", "width in cm", (12, 480), "wider than {} cm|narrower than {} cm|"
               "widest|narrowest"),
        number("insured_for", "insurance value", (1000, 900000), "insured for more than {}|"
               "insured for less than {}|most valuable|least valuable", step=500),
        date("acquired", "acquisition date", (1950, 2023), "acquired"),
    )),
    Table("restoration", "restoration", "restorations", 90, (
        key("restoration_id"),
        reference("painting_id", "painting", "of {}", "with"),
        category("damage", "kind of damage", "cracks|mould|fire|water|dust", "because of {}"),
        number("expense", "expense", (150, 24000), "that cost more than {}|"
               "that cost less than {}|most expensive|cheapest", step=50),
        date("completed", "completion date", (2001, 2024), "completed"),
        category("workshop", "workshop", "Atelier Nord|Casa Blu|Studio 9", "done by {}",
                 missing=0.3),
    )),
))  # fmt: skip

HARBOUR = Database("harbour", (
    Table("port", "port", "ports", 18, (
        key("port_code"),
        name("port_name", "name", "Port of|Old Port of", CITIES),
        category("sea", "sea", "Baltic Sea|North Sea|Adriatic Sea|Aegean Sea", "on the {}"),
        number("depth_m", "depth in metres", (5, 26), "deeper than {} metres|"
               "shallower than {} metres|deepest|shallowest", step=0.5, adds=False),
        number("berths", "number of berths", (3, 70), "with more than {} berths|"
               "with fewer than {} berths|{} with the most berths|{} with the fewest berths"),
    )),
    Table("vessel", "vessel", "vessels", 48, (
        key("vessel_code"),
        name("vessel_name", "name", "MS|SS|MV", "Aurora|Borealis|Cassandra|Delphin|"
             "Esperanza|Frieda|Galatea|Helios|Isolde|Juno|Kestrel|Leander|Minerva|Nereid|Odin|"
             "Pelican|Rusalka|Sirius"),
        reference("home_port", "port", "whose home is {}", "that are home to"),
        category("flag", "flag", "Malta|Panama|Norway|Greece|Liberia", "under the flag of {}"),
        number("gross_tonnage", "gross tonnage", (700, 96000), "of more than {} tonnes|"
               "of less than {} tonnes|largest|smallest", step=100),
        date("launched", "launch date", (1975, 2022), "launched"),
    )),
    Table("cargo", "cargo", "cargoes", 150, (
        key("cargo_code"),
        reference("vessel_code", "vessel", "carried by {}", "that carried"),
        category("goods", "goods", "grain|timber|cars|coal|bananas|machines", "of {}"),
        number("containers", "number of containers", (1, 420), "of more than {} containers|"
               "of fewer than {} containers|largest|smallest"),
        number("freight", "freight charge", (400, 52000), "that cost more than {} to ship|"
               "that cost less than {} to ship|most expensive|cheapest", step=20),
        date("unloaded", "unloading date", (2020, 2024), "unloaded", missing=0.25),
        date("loaded", "loading date", (2020, 2024), "loaded"),
    )),
))  # fmt: skip
