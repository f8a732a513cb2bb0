"""Databases about trade, farming and offices."""

from ..database import Database, Table, category, date, key, name, number, reference
from .words import CITIES, FIRST, LAST

SHOP = Database("shop", (
    Table("customers", "customer", "customers", 70, (
        key("customer_id"),
        name("customer_name", "name", FIRST, LAST),
        category("city", "city", CITIES, "from {}"),
        category("segment", "segment", "private|business|school", "in the {} segment"),
        date("registered", "registration date", (2012, 2024), "who registered"),
        category("email", "e-mail address", "a@post.example|b@post.example|c@post.example",
                 "with the e-mail address {}", missing=0.4),
    )),
    Table("products", "product", "products", 80, (
        key("product_id"),
        name("product_name", "name", "Oak|Steel|Linen|Glass|Ceramic|Leather|Bamboo",
             "Lamp|Chair|Kettle|Basket|Clock|Tray|Vase|Stool|Mirror|Shelf|Bowl|Rug"),
        category("category", "category", "kitchen|garden|bedroom|office|bath",
                 "in the category {}"),
        number("unit_price", "price", (3.5, 420), "that cost more than {}|"
               "that cost less than {}|most expensive|cheapest", step=0.5),
        number("in_stock", "stock", (0, 260), "with more than {} pieces in stock|"
               "with fewer than {} pieces in stock|{} with the largest stock|"
               "{} with the smallest stock"),
    )),
    Table("orders", "order", "orders", 220, (
        key("order_id"),
        reference("customer_id", "customers", "placed by {}", "who placed"),
        reference("product_id", "products", "for {}", "that appear in"),
        number("quantity", "quantity", (1, 40), "of more than {} pieces|of fewer than {} pieces|"
               "largest|smallest"),
        category("status", "status", "open|shipped|returned|cancelled", "with the status {}"),
        date("ordered_on", "order date", (2021, 2024), "placed"),
    )),
))  # fmt: skip

FARM = Database("farm", (
    Table("farm", "farm", "farms", 24, (
        key("farm_id"),
        name("farm_name", "name", "Willow|Stone|Meadow|Crow's|Upper|Lower|Misty",
             "Hill|Brook|Acre|Nest|Barn"),
        category("region", "region", "Highlands|Coast|Valley|Marshes|Plains", "in the {}"),
        number("hectares", "area in hectares", (4, 780), "larger than {} hectares|"
               "smaller than {} hectares|largest|smallest"),
        category("owner", "owner", "Hansen|Novak|O'Brien|Rossi|Gupta", "owned by {}"),
    )),
    Table("animal", "animal", "animals", 140, (
        key("animal_id"),
        name("tag", "ear tag", "K|L|M|N|P|R", "|".join(str(n) for n in range(200, 240))),
        reference("farm_id", "farm", "kept on {}", "that keep"),
        category("species", "species", "cow|sheep|goat|pig|horse|llama", "of the species {}"),
        number("weight", "weight", (18, 940), "heavier than {} kg|lighter than {} kg|heaviest|"
               "lightest"),
        date("born_on", "date of birth", (2012, 2024), "born"),
        number("milk_litres", "milk yield", (2, 45), "giving more than {} litres of milk|"
               "giving less than {} litres of milk|most productive|least productive",
               missing=0.45),
    )),
    Table("harvest", "harvest", "harvests", 130, (
        key("harvest_id"),
        reference("farm_id", "farm", "brought in by {}", "with"),
        category("crop", "crop", "wheat|barley|potatoes|apples|hops|rapeseed", "of {}"),
        number("tonnes", "yield in tonnes", (2, 640), "of more than {} tonnes|"
               "of less than {} tonnes|largest|smallest"),
        number("season", "season", (2010, 2024), "later than season {}|earlier than season {}|"
               "most recent|oldest", adds=False),
    )),
))  # fmt: skip

OFFICE = Database("office", (
    Table("department", "department", "departments", 12, (
        key("id"),
        name("title", "name", "Customer|Product|Human|Legal|Field|Data",
             "Support|Affairs|Research"),
        category("location", "location", CITIES, "located in {}"),
        number("floor_space", "floor space", (60, 2200), "with more than {} square metres|"
               "with less than {} square metres|largest|smallest", step=10),
    )),
    Table("employee", "employee", "employees", 120, (
        key("id"),
        name("full_name", "name", FIRST, LAST),
        reference("department_id", "department", "working in {}", "that employ"),
        category("job", "job", "engineer|analyst|clerk|manager|designer", "working as {}"),
        number("salary", "salary", (2100, 9800), "earning more than {}|earning less than {}|"
               "best paid|worst paid", step=25),
        date("start_date", "start date", (2001, 2024), "who started"),
        date("end_date", "leaving date", (2023, 2025), "who left", missing=0.7),
    )),
    Table("project", "project", "projects", 45, (
        key("id"),
        name("code_name", "code name", "Amber|Cobalt|Ivory|Jade|Onyx|Ruby|Topaz",
             "Falcon|Otter|Lynx|Heron|Badger|Viper|Crane"),
        reference("department_id", "department", "run by {}", "that run"),
        category("status", "status", "planned|active|finished|stopped", "with the status {}"),
        number("cost", "cost", (5000, 480000), "that cost more than {}|that cost less than {}|"
               "most expensive|cheapest", step=500),
        date("deadline", "deadline", (2022, 2026), "due"),
    )),
    Table("timesheet", "time sheet", "time sheets", 260, (
        key("id"),
        reference("employee_id", "employee", "of {}", "with"),
        reference("project_id", "project", "for {}", "with"),
        number("hours", "number of hours", (1, 60), "with more than {} hours|"
               "with fewer than {} hours|longest|shortest"),
        date("week_start", "week", (2022, 2024), "handed in for weeks"),
    )),
))  # fmt: skip
