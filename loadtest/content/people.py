"""People whom others made up, in the forms that an agent meets them in: the rows of FakeNameGenerator that presidio-evaluator
brings along (30 countries), and Faker's of 28 places, in records, tables, mail and talk. Addresses, post codes, number plates
and orders stand among them, and are nothing to find.
"""

import csv
import json
import random
import re
from xml.sax.saxutils import escape

import phonenumbers
import schwifty
import stdnum.br.cpf
import stdnum.es.nif
import stdnum.fr.nir
import stdnum.nl.bsn
from faker import Faker

# A place: what its people call a telephone, a birth and a card; their own id, its class, and who makes it.
PLACES = {
    "en_US": ("Phone", "Date of birth", "Card", "SSN", "us_ssn", "ssn"),
    "en_GB": ("Tel", "Date of birth", "Card number", "NI number", "uk_nino", "ssn"),
    "en_IN": ("Mobile", "DOB", "Card", "Aadhaar", "in_aadhaar", "aadhaar_id"),
    "en_AU": ("Phone", "Date of birth", "Card", None, None, None),
    "en_CA": ("Phone", "Date of birth", "Card", None, None, None),
    "en_IE": ("Phone", "Date of birth", "Card", None, None, None),
    "de_DE": ("Telefon", "Geburtsdatum", "Kreditkarte", None, None, None),
    "de_AT": ("Tel.", "geboren am", "Kreditkarte", None, None, None),
    "de_CH": ("Telefon", "Geburtsdatum", "Kreditkarte", None, None, None),
    "fr_FR": ("Téléphone", "Né(e) le", "Carte bancaire", "N° de sécurité sociale", "fr_nir", "ssn"),
    "fr_CH": ("Tél.", "Date de naissance", "Carte de crédit", None, None, None),
    "es_ES": ("Teléfono", "Fecha de nacimiento", "Tarjeta", "DNI", "es_dni", "nif"),
    "es_MX": ("Teléfono", "Fecha de nacimiento", "Tarjeta", None, None, None),
    "it_IT": ("Telefono", "Nato il", "Carta di credito", "Codice fiscale", "it_codice_fiscale", "ssn"),
    "nl_NL": ("Telefoon", "Geboortedatum", "Creditcard", "BSN", "nl_bsn", "ssn"),
    "nl_BE": ("Tel.", "Geboortedatum", "Kredietkaart", None, None, None),
    "pl_PL": ("Telefon", "Data urodzenia", "Karta", "PESEL", "pl_pesel", "pesel"),
    "pt_BR": ("Telefone", "Data de nascimento", "Cartão", "CPF", "br_cpf", "cpf"),
    "pt_PT": ("Telemóvel", "Data de nascimento", "Cartão", None, None, None),
    "sv_SE": ("Telefon", "Födelsedatum", "Kort", None, None, None),
    "da_DK": ("Telefon", "Fødselsdato", "Kort", None, None, None),
    "no_NO": ("Telefon", "Fødselsdato", "Kort", None, None, None),
    "fi_FI": ("Puhelin", "Syntymäaika", "Kortti", None, None, None),
    "cs_CZ": ("Telefon", "Datum narození", "Karta", None, None, None),
    "hu_HU": ("Telefon", "Születési dátum", "Kártya", None, None, None),
    "ro_RO": ("Telefon", "Data nașterii", "Card", None, None, None),
    "tr_TR": ("Telefon", "Doğum tarihi", "Kart", None, None, None),
    "el_GR": ("Τηλέφωνο", "Ημερομηνία γέννησης", "Κάρτα", None, None, None),
    "ja_JP": ("電話番号", "生年月日", "カード番号", None, None, None),
}
VALID = {"fr_nir": stdnum.fr.nir, "es_dni": stdnum.es.nif, "nl_bsn": stdnum.nl.bsn, "br_cpf": stdnum.br.cpf}
# Ids of FakeNameGenerator's countries that have right check digits, or none.
NATIONAL = {"US": "us_ssn", "BR": "br_cpf", "PL": "pl_pesel", "FR": "fr_nir"}
DATES = {"en_US": ["%m/%d/%Y", "%B %d, %Y"], "de_DE": ["%d.%m.%Y", "%d. %B %Y"], "sv_SE": ["%Y-%m-%d"], "ja_JP": ["%Y/%m/%d", "%Y-%m-%d"]}
CARDS = ["visa", "visa13", "visa19", "mastercard", "amex", "discover", "diners", "jcb", "jcb15", "jcb16"]

# Slots in capitals are what a place calls something.
FORMS = [
    "{name}\n{street}\n{PHONE}: {phone}\nE-Mail: {email}\n{BORN}: {born}\n",
    "{name}, {street}. {PHONE} {phone}. {ID}: {id}",
    "Hi, this is {name}. You can reach me at {phone} or {email}; please charge {card} (exp {expires}).",
    "-- \n{name} | {job}\n{company}\nT {phone} | M {phone2}\n{email}",
    "BEGIN:VCARD\nFN:{name}\nTEL;TYPE=cell:{phone}\nEMAIL:{email}\nBDAY:{iso}\nEND:VCARD",
    'name,street,phone,email,card\n{name},"{street}",{phone},{email},{card}\n',
    "| {name} | {phone} | {iban} | {order} |",
    "INSERT INTO customers (name, phone, email, iban, created) VALUES ('{name}', '{phone}', '{email}', '{iban}', '{when}');",
    "{when} INFO billing order={order} customer={email} client_ip={ipv4} card={card} took={ms}ms",
    '{ipv4} - - [{when}] "GET /orders/{order} HTTP/1.1" 200 {ms} "-" "Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36"',
    "<customer><name>{name}</name><phone>{phone}</phone><iban>{iban}</iban><plate>{plate}</plate></customer>",
    "customer:\n  name: {name}\n  {PHONE}: {phone}\n  {BORN}: {born}\n  {CARD}: {card}\n",
    "{BORN} {born}, {ID} {id}, {PHONE} {phone}",
    "Invoice {order} for {name}, {street}: {ms}.00 to {iban} within 14 days.",
    "device {mac} got {ipv6} from {ipv4}, uptime {ms}",
    "{name} ({plate}) moved from {street}; ISBN {isbn}, commit {sha}.",
]
RECORDS = [["name", "street", "phone", "email"], ["name", "phone", "iban", "plate"], ["order", "card", "email", "when"], ["id", "name", "phone", "born"]]
KINDS = {
    "phone": "phone",
    "phone2": "phone",
    "email": "email",
    "born": "date_of_birth",
    "iso": "date_of_birth",
    "card": "payment_card",
    "iban": "iban",
    "ipv4": "ip_address",
    "ipv6": "ip_address",
    "mac": "mac_address",
}


def filled(form, values, kinds, said):
    """The form with its slots filled, and where what is to be found stands; none if a slot has no value."""
    text, spans, at = "", [], 0
    for slot in re.finditer(r"\{(\w+)\}", form):
        text += form[at : slot.start()]
        at, name = slot.end(), slot.group(1)
        value = said.get(name, values.get(name))
        if value is None:
            return None
        if name in kinds:
            spans.append((len(text), len(text) + len(value), kinds[name]))
        text += value
    return text + form[at:], spans


def record(names, values, kinds, said):
    """The same as a JSON document, as tools answer. An id is called by its own name."""
    chosen = {name: values[name] for name in names if values.get(name)}
    text, spans = json.dumps({said["ID"] if name == "id" else name: value for name, value in chosen.items()}, ensure_ascii=False), []
    for name, value in chosen.items():
        if name in kinds and value in text:
            spans.append((text.index(value), text.index(value) + len(value), kinds[name]))
    return text, spans


def grouped(digits, chance):
    """A card number as it is printed, or typed."""
    sizes = {15: [4, 6, 5], 14: [4, 6, 4], 16: [4, 4, 4, 4], 19: [4, 4, 4, 4, 3]}.get(len(digits))
    sign = chance.choice(["", "", " ", "-"])
    if not sizes or not sign:
        return digits
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return sign.join(parts)


def address(faker):
    return " ".join(faker.address().split())


# Not all places have all issuers, or banks.
CARD = Faker("en_US")
REAL = [Faker(locale) for locale in ("de_DE", "fr_FR", "nl_NL", "pl_PL", "it_IT")]


def fakers_person(locale, faker, chance):
    _, _, _, _, kind, make = PLACES[locale]
    born = faker.date_of_birth(minimum_age=18, maximum_age=90)
    form = chance.choice(DATES.get(locale, DATES.get(locale[:2] + "_" + locale[:2].upper(), ["%d/%m/%Y", "%d %B %Y"])))
    own = None
    for _ in range(200 if make else 0):
        own = getattr(faker, make)()
        if kind not in VALID or VALID[kind].is_valid(own):
            break
    # Where Faker does not know the country's banks, it makes British accounts that are too short.
    iban = faker.iban()
    while not schwifty.IBAN(iban, allow_invalid=True).is_valid:
        iban = CARD.random.choice(REAL).iban()
    return {
        "name": faker.name(),
        "street": address(faker),
        "phone": faker.phone_number(),
        "phone2": faker.phone_number(),
        "email": faker.email(),
        "job": faker.job(),
        "company": faker.company(),
        "born": born.strftime(form),
        "iso": born.isoformat(),
        "card": grouped(CARD.credit_card_number(chance.choice(CARDS)), chance),
        "expires": faker.credit_card_expire(),
        "id": own,
        "iban": iban if chance.random() < 0.5 else " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)),
        "plate": faker.license_plate() if hasattr(faker, "license_plate") else None,
    }


def listed_person(row):
    """A row of FakeNameGenerator's. Its card numbers went through a spreadsheet: none of them is left."""
    street = f"{row['StreetAddress']}, {row['ZipCode']} {row['City']}"
    month, day, year = row["Birthday"].split("/")
    national = row["NationalID"] if row["Country"] in NATIONAL else None
    return {
        "name": f"{row['GivenName']} {row['Surname']}",
        "street": street,
        "phone": row["TelephoneNumber"],
        "phone2": f"+{row['TelephoneCountryCode']} {row['TelephoneNumber'].lstrip('0')}",
        "email": row["EmailAddress"],
        "job": row["Occupation"],
        "company": row["Company"],
        "born": row["Birthday"],
        "iso": f"{year}-{int(month):02}-{int(day):02}",
        "id": national or None,
    }


def about(faker, chance):
    """What stands beside people in logs and orders."""
    return {
        "order": chance.choice(["", "ORD-", "#"]) + str(chance.randrange(10**7, 10**10)),
        "when": faker.date_time_this_decade().isoformat(sep=" "),
        "ms": str(chance.randrange(1, 9999)),
        "ipv4": faker.ipv4_public(),
        "ipv6": faker.ipv6(),
        "mac": faker.mac_address(),
        "isbn": faker.isbn13(),
        "sha": faker.sha1(),
    }


def texts(seed, count):
    """Texts and the spans in them, and which place each is from."""
    from presidio_evaluator.data_generator import raw_data_dir

    chance = random.Random(seed)
    fakers = {locale: Faker(locale) for locale in PLACES}
    for faker in fakers.values():
        faker.seed_instance(seed)
    for faker in (CARD, *REAL):
        faker.seed_instance(seed)
    with (raw_data_dir / "FakeNameGenerator.com_3000.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    english = PLACES["en_US"]
    for number in range(count):
        if number % 3:
            locale = chance.choice(list(PLACES))
            labels, values = PLACES[locale], fakers_person(locale, fakers[locale], chance)
            own = labels[4]
        else:
            row = chance.choice(rows)
            locale, labels, values, own = row["Country"], english, listed_person(row), NATIONAL.get(row["Country"])
        values |= about(fakers["en_US"], chance)
        kinds = KINDS | ({"id": own} if own else {})
        said = {"PHONE": labels[0], "BORN": labels[1], "CARD": labels[2], "ID": labels[3] or "ID"}
        if labels is english and own != "us_ssn":
            said["ID"] = {"br_cpf": "CPF", "pl_pesel": "PESEL", "fr_nir": "NIR"}.get(own, "ID")
        if chance.random() < 0.25:
            made = record(chance.choice(RECORDS), values, kinds, said)
        else:
            form = chance.choice(FORMS)
            markup = form.startswith("<")
            made = filled(form, {name: escape(value) if markup and value else value for name, value in values.items()}, kinds, said)
        if made:
            yield *made, locale


# Regions whose national forms are recognised where a tenant names none.
AT_HOME = "US GB DE FR NL IT ES PL IN BR AU IL CH BE AT PT SE NO DK FI".split()


def telephones():
    """An example of each region's numbers as Google's library prints them: abroad, at home, and as a link."""
    forms = phonenumbers.PhoneNumberFormat
    carriers = {"called": "Phone: {}", "bare": "{} is what they gave us", "key": '{"phone": "{}"}'}
    kinds = {"fixed": phonenumbers.PhoneNumberType.FIXED_LINE, "mobile": phonenumbers.PhoneNumberType.MOBILE}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in kinds.values():
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            for name, form in (("E.164", forms.E164), ("international", forms.INTERNATIONAL), ("national", forms.NATIONAL), ("link", forms.RFC3966)):
                written = phonenumbers.format_number(number, form)
                for how, carrier in carriers.items():
                    before, behind = carrier.split("{}")
                    at = len(before) + (4 if form == forms.RFC3966 else 0)
                    of = f"{name} {how}" + (", default regions" if name == "national" and region in AT_HOME else "")
                    yield before + written + behind, [(at, len(before) + len(written), "phone")], of, region
