"""Numbers that others publish as examples: what python-stdnum's tests found on the web, IBANs of each country that has them
(schwifty), machine readable zones of each size (mrz); and those that are wrong on purpose.
"""

import random
import re
import string
from importlib import import_module

from faker import Faker
from stdnum.es import cif, nif

# python-stdnum's modules: our class, and words that people put before it.
MODULES = {
    "eu.vat": ("eu_vat", ["VAT: {}", "VAT number {}", "our customer {} pays later", "vat_id={}"]),
    "iban": ("iban", ["IBAN: {}", "please pay to {} today", "iban={}"]),
    "it.codicefiscale": ("it_codice_fiscale", ["Codice fiscale: {}", "il signor {} abita qui"]),
    "es.nie": ("es_dni", ["NIE {}", "documento {}, Madrid"]),
    "es.dni": ("es_dni", ["DNI {}", "documento {}, Madrid"]),
    "fr.nir": ("fr_nir", ["NIR {}", "salarié {}, Paris"]),
    "nl.bsn": ("nl_bsn", ["BSN {}", "burgerservicenummer: {}"]),
    "de.idnr": ("de_tax_id", ["Steuer-ID {}", "IdNr. {}"]),
    "pl.pesel": ("pl_pesel", ["PESEL {}", "Jan Nowak, {}"]),
    "br.cpf": ("br_cpf", ["CPF {}", "cliente {}"]),
    "in_.aadhaar": ("in_aadhaar", ["Aadhaar {}", "aadhaar: {}"]),
    "gb.nino": ("uk_nino", ["NI number {}"]),
    "us.ssn": ("us_ssn", ["SSN {}", "applicant {} approved"]),
    "bitcoin": ("crypto_address", ["send it to {}", "wallet: {}"]),
    "mac": ("mac_address", ["device {} joined", "MAC {}"]),
}
# Numbers of other kinds, with check digits of their own: nothing to find.
OTHERS = [
    "isbn",
    "ean",
    "imei",
    "isin",
    "lei",
    "issn",
    "isni",
    "cusip",
    "figi",
    "imo",
    "meid",
    "grid",
    "gs1_128",
    "bic",
    "eu.eic",
    "de.wkn",
    "gb.sedol",
    "iso6346",
    "iso11649",
    "isan",
    "iswc",
    "ismn",
    "casrn",
    "isrc",
    "us.rtn",
    "au.abn",
    "jp.cn",
    "no.orgnr",
]


def examples(name):
    """Valid and invalid numbers from a module's own documentation."""
    module = import_module(f"stdnum.{name}")
    said = re.findall(r">>> (?:validate|is_valid|format|compact)\('([^'\\]+)'", module.__doc__ or "")
    return {number for number in said if module.is_valid(number)}


def in_tests(folder, name):
    """And from the tests that come with its source: lists of them, of which the library says which are right."""
    path = folder / f"test_{name.replace('.', '_')}.doctest"
    if not path.exists():
        return set()
    module = import_module(f"stdnum.{name}")
    lines = re.findall(r"^\.\.\. (\S.*)$", path.read_text(), re.M)
    return {line for line in lines if re.search(r"\d", line) and module.is_valid(line)}


def numbers(folder):
    for name, (kind, carriers) in MODULES.items():
        try:
            found = examples(name) | in_tests(folder, name)
        except ModuleNotFoundError:
            continue
        # Companies in Italy have their VAT number as fiscal code, people in Spain their DNI as VAT number.
        found = {number for number in found if kind != "it_codice_fiscale" or len(number) == 16}
        found = {number for number in found if kind != "eu_vat" or not (number[:2] == "ES" and nif.is_valid(number[2:]) and not cif.is_valid(number[2:]))}
        for at, number in enumerate(sorted(found)):
            before, behind = carriers[at % len(carriers)].split("{}")
            yield before + number + behind, [(len(before), len(before) + len(number), kind)]


def other_numbers(folder):
    for name in OTHERS:
        try:
            found = examples(name) | in_tests(folder, name)
        except ModuleNotFoundError:
            continue
        for number in sorted(found):
            yield f"{name.split('.')[-1].upper()} {number}", []
            yield f"see {number} for it", []


def accounts(seed, each=4):
    """IBANs of every country in the register, in one piece and in fours."""
    import pycountry
    import schwifty

    chance = random.Random(seed)
    for country in sorted(country.alpha_2 for country in pycountry.countries):
        for at in range(each):
            try:
                iban = schwifty.IBAN.random(country_code=country, random=chance)
            except Exception:
                # A country without IBANs.
                break
            written = iban.formatted if at % 2 else str(iban)
            before, behind = chance.choice([("IBAN: ", ""), ("transfer to ", " by Friday"), ('{"account": "', '"}')])
            yield before + written + behind, [(len(before), len(before) + len(written), "iban")]


def zones(seed, each=25):
    """Travel documents of three sizes."""
    from mrz.generator.td1 import TD1CodeGenerator
    from mrz.generator.td2 import TD2CodeGenerator
    from mrz.generator.td3 import TD3CodeGenerator

    faker = Faker("en_US")
    faker.seed_instance(seed)
    for _ in range(each):
        country = faker.random.choice(["D", "FRA", "ESP", "NLD", "POL", "USA", "GBR", "IND", "BRA"])
        number = faker.bothify("??#######", letters=string.ascii_uppercase)
        born, expires, sex = faker.date_of_birth().strftime("%y%m%d"), faker.future_date("+9y").strftime("%y%m%d"), faker.random.choice("MF")
        last, first = faker.last_name(), faker.first_name()
        for zone in (
            TD1CodeGenerator("I", country, number, born, sex, expires, country, last, first),
            TD2CodeGenerator("I", country, last, first, number, country, born, sex, expires),
            TD3CodeGenerator("P", country, last, first, number, country, born, sex, expires),
        ):
            before, behind = faker.random.choice([("", ""), ("scanned:\n", "\nend"), ("MRZ ", "")])
            zone = str(zone)
            yield before + zone + behind, [(len(before), len(before) + len(zone), "passport_mrz")]
