"""Precision, recall and F1 of the content filter, per class, beside presidio-analyzer (pattern recognisers only, no
model) and detect-secrets, on the same text; and the time that each takes.

    measure.py PROCTOR [--seed N] [--samples N]

The text is made by others: sentences of presidio-evaluator's templates filled by its providers and by Faker, Faker's own
identifiers in plain carrier sentences (where Faker has none with valid check digits, python-stdnum says which are), and
lines of code with the secrets that detect-secrets' documentation and plugins describe, each made up anew from its form. A
match counts, of a secret as of anything else, if it overlaps the marked span by half of either and is of the same class.
"""

import argparse
import hashlib
import json
import logging
import random
import re
import resource
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import patterns
import stdnum.bitcoin
import stdnum.br.cpf
import stdnum.de.idnr
import stdnum.es.nie
import stdnum.eu.vat
import stdnum.fr.nir
import stdnum.nl.bsn
from faker import Faker

logging.disable(logging.WARNING)

# Our class: presidio's recognisers for it, and the names that they give. It has none for the other classes (its dates are
# any dates, its passports are their numbers), and of VAT numbers those of two states.
PRESIDIO = {
    "email": {"EmailRecognizer": "EMAIL_ADDRESS"},
    "phone": {"PhoneRecognizer": "PHONE_NUMBER"},
    "payment_card": {"CreditCardRecognizer": "CREDIT_CARD"},
    "iban": {"IbanRecognizer": "IBAN_CODE"},
    "us_ssn": {"UsSsnRecognizer": "US_SSN"},
    "ip_address": {"IpRecognizer": "IP_ADDRESS"},
    "mac_address": {"MacAddressRecognizer": "MAC_ADDRESS"},
    "crypto_address": {"CryptoRecognizer": "CRYPTO"},
    "es_dni": {"EsNifRecognizer": "ES_NIF", "EsNieRecognizer": "ES_NIE"},
    "it_codice_fiscale": {"ItFiscalCodeRecognizer": "IT_FISCAL_CODE"},
    "pl_pesel": {"PlPeselRecognizer": "PL_PESEL"},
    "in_aadhaar": {"InAadhaarRecognizer": "IN_AADHAAR"},
    "uk_nino": {"UkNinoRecognizer": "UK_NINO"},
    "de_tax_id": {"DeTaxIdRecognizer": "DE_TAX_ID"},
    "eu_vat": {"DeVatIdRecognizer": "DE_VAT_ID", "ItVatCodeRecognizer": "IT_VAT_CODE"},
}
OURS_ALONE = ["nl_bsn", "fr_nir", "br_cpf", "date_of_birth", "passport_mrz"]
# What detect-secrets calls a secret: our class. Its generic findings count where it has no better one at the same place.
DETECT_SECRETS = {
    "AWS Access Key": "aws_key", "Azure Storage Account access key": "azure_key", "GitHub Token": "github_token",
    "GitLab Token": "gitlab_token", "Slack Token": "slack_token", "Stripe Access Key": "stripe_key", "Twilio API Key": "twilio_key",
    "SendGrid API Key": "sendgrid_key", "NPM tokens": "npm_token", "OpenAI Token": "openai_key", "PyPI Token": "pypi_token",
    "JSON Web Token": "jwt", "Private Key": "private_key", "Basic Auth Credentials": "url_credentials",
    "Secret Keyword": "generic_secret", "Base64 High Entropy String": "generic_secret", "Hex High Entropy String": "generic_secret",
}
TEMPLATES = {"email": "email", "phone_number": "phone", "credit_card_number": "payment_card", "credit_card": "payment_card",
             "iban": "iban", "ssn": "us_ssn", "ip_address": "ip_address", "date_of_birth": "date_of_birth", "birthday": "date_of_birth"}


def filled(template, fill):
    """The sentence with its {{slots}} filled, and the spans of the slots."""
    text, spans, at = "", [], 0
    for slot in re.finditer(r"\{\{\s*(\w+)\s*\}\}", template):
        text += template[at:slot.start()]
        value, at = str(fill(slot.group(1))), slot.end()
        if slot.group(1) in TEMPLATES:
            spans.append((len(text), len(text) + len(value), TEMPLATES[slot.group(1)]))
        text += value
    return text + template[at:], spans


def evaluator_sentences(seed, count):
    import presidio_evaluator.data_generator.faker_extensions as extensions
    from presidio_evaluator.data_generator import raw_data_dir

    fakers = [Faker(locale) for locale in ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL")]
    for faker in fakers:
        for name in ("IpAddressProvider", "NationalityProvider", "OrganizationProvider", "UsDriverLicenseProvider", "AgeProvider",
                     "AddressProviderNew", "PhoneNumberProviderNew", "ReligionProvider", "HospitalProvider"):
            faker.add_provider(getattr(extensions, name))
        faker.seed_instance(seed)
    templates = [line for line in (raw_data_dir / "templates.txt").read_text().splitlines() if line.strip()]
    chance = random.Random(seed)
    aliases = {"person": "name", "credit_card": "credit_card_number", "birthday": "date_of_birth", "zipcode": "postcode",
               "nation_woman": "nationality", "nation_man": "nationality", "nation_plural": "nationality"}

    def fill(name):
        # US forms where the class is a US one; else any locale.
        faker = fakers[0] if name in ("ssn", "phone_number") or chance.random() < 0.5 else chance.choice(fakers)
        for candidate in (name, aliases.get(name, name), name.split("_")[0]):
            if hasattr(faker, candidate):
                return getattr(faker, candidate)()
        return fakers[0].word()

    for _ in range(count):
        yield filled(chance.choice(templates).replace("\\n", "\n"), fill)


def valid(make, check):
    """What is made, once it is valid: not all of Faker's numbers have right check digits."""
    for _ in range(1000):
        value = make()
        if check(value):
            return value
    raise ValueError("nothing valid is made")


def de_tax_id(faker):
    """Of ten digits one comes twice and one is missing; the last is the check digit."""
    def make():
        digits = faker.random.sample("0123456789", 9)
        digits.insert(faker.random.randrange(10), faker.random.choice(digits))
        return "".join(digits) + str(faker.random.randrange(10))
    return valid(make, lambda number: number[0] != "0" and stdnum.de.idnr.is_valid(number))


VAT_LOCALES = ["de_DE", "it_IT", "nl_BE", "nl_NL", "pl_PL", "de_AT", "pt_PT"]


def eu_vat(faker):
    other = Faker(faker.random.choice(VAT_LOCALES))
    other.seed_instance(faker.random.random())
    return valid(other.vat_id, lambda number: " " not in number and stdnum.eu.vat.is_valid(number))


def bitcoin(faker):
    """An address of a made-up key's digest: version, digest, and four bytes of checksum, in base 58."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    payload = faker.random.choice([b"\x00", b"\x05"]) + faker.random.randbytes(20)
    whole = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(whole, "big"), ""
    while number:
        number, at = divmod(number, 58)
        text = alphabet[at] + text
    text = "1" * (len(whole) - len(whole.lstrip(b"\x00"))) + text
    assert stdnum.bitcoin.is_valid(text), text
    return text


def check_digit(field):
    """ICAO 9303: weights 7, 3, 1; a filler counts nothing, letters from ten on."""
    value = lambda c: 0 if c == "<" else int(c, 36)
    return str(sum(value(c) * (7, 3, 1)[at % 3] for at, c in enumerate(field)) % 10)


def passport_mrz(faker):
    plain = lambda name: re.sub("[^A-Z]", "<", name.upper())
    first = f"P<USA{plain(faker.last_name())}<<{plain(faker.first_name())}".ljust(44, "<")[:44]
    number = faker.bothify("?########", letters=string.ascii_uppercase)
    born, expires = faker.date_of_birth().strftime("%y%m%d"), faker.future_date("+9y").strftime("%y%m%d")
    optional = "<" * 14
    parts = [field + check_digit(field) for field in (number, born, expires, optional)]
    second = parts[0] + "USA" + parts[1] + faker.random.choice("MF<") + parts[2] + parts[3]
    return first + "\n" + second + check_digit("".join(parts))


def birth_date(faker):
    form = faker.random.choice(["%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y"])
    return faker.date_of_birth().strftime(form)


CARRIERS = {
    "es_dni": ("es_ES", lambda f: f.nif() if f.random.random() < 0.5 else valid(f.nie, stdnum.es.nie.is_valid), ["Mi DNI es {}.", "DNI: {}", "con documento {} y domicilio en Madrid"]),
    "it_codice_fiscale": ("it_IT", lambda f: f.ssn(), ["Codice fiscale {}.", "C.F.: {}", "il signor Rossi, {}, nato a Roma"]),
    "pl_pesel": ("pl_PL", lambda f: f.pesel(), ["PESEL: {}", "numer PESEL {} w aktach", "Jan Nowak, {}, Warszawa"]),
    "in_aadhaar": ("en_IN", lambda f: f.aadhaar_id(), ["Aadhaar number {}", "aadhaar: {}", "my UIDAI card says {}"]),
    "uk_nino": ("en_GB", lambda f: f.ssn(), ["NI number: {}", "National Insurance {} on file", "employee {} joined"]),
    "mac_address": ("en_US", lambda f: f.mac_address(), ["the device {} joined", "MAC: {}", "lease for {} renewed"]),
    "ip_address": ("en_US", lambda f: f.ipv6(), ["connection from {} refused", "host {} up", "client={} status=200"]),
    "email": ("en_US", lambda f: f.ascii_email(), ["from: {}", "<{}> wrote:", "user={};"]),
    "iban": ("de_DE", lambda f: f.iban(), ["IBAN {}", "bitte auf {} zahlen", "account={}"]),
    "payment_card": ("en_US", lambda f: f.credit_card_number(), ["card {}", "charge {} for it", "pan={}"]),
    "phone": ("en_GB", lambda f: f.phone_number(), ["call {}", "Tel. {}", "phone: {}"]),
    "us_ssn": ("en_US", lambda f: f.ssn(), ["SSN {}", "social security number {}", "applicant {} approved"]),
    "nl_bsn": ("nl_NL", lambda f: valid(f.ssn, stdnum.nl.bsn.is_valid), ["BSN: {}", "mijn burgerservicenummer is {}", "bsn={}"]),
    "de_tax_id": ("de_DE", de_tax_id, ["Steuer-ID: {}", "Identifikationsnummer {}", "der Mitarbeiter {} hat"]),
    "fr_nir": ("fr_FR", lambda f: valid(f.ssn, stdnum.fr.nir.is_valid), ["NIR {}", "numéro de sécurité sociale {}", "le salarié {} est"]),
    "br_cpf": ("pt_BR", lambda f: valid(f.cpf, stdnum.br.cpf.is_valid), ["CPF {}", "CPF: {}", "o cliente {} pagou"]),
    "eu_vat": ("en_GB", eu_vat, ["VAT no {}", "USt-IdNr. {}", "the company {} of"]),
    "date_of_birth": ("en_US", birth_date, ["she was born on {} in", "DOB: {}", "date of birth {}"]),
    "crypto_address": ("en_US", bitcoin, ["send it to {} today", "BTC: {}", "wallet={}"]),
    "passport_mrz": ("en_US", passport_mrz, ["{}", "scanned:\n{}\nend", "MRZ {}"]),
}


def carrier_sentences(seed, count):
    chance = random.Random(seed + 1)
    for name, (locale, make, carriers) in CARRIERS.items():
        faker = Faker(locale)
        faker.seed_instance(seed)
        for _ in range(count // 20):
            before, behind = chance.choice(carriers).split("{}")
            value = make(faker)
            yield before + value + behind, [(len(before), len(before) + len(value), name)]


def plain_sentences(seed, count):
    """Nothing to find: numbers that look like something, and prose."""
    faker = Faker("en_US")
    faker.seed_instance(seed + 2)
    chance = random.Random(seed + 2)
    digits = lambda n: "".join(chance.choice(string.digits) for _ in range(n))
    makes = [
        lambda: f"order {digits(16)} was shipped on {faker.date()}", lambda: f"invoice no {digits(10)} of {faker.date()}",
        lambda: f"commit {faker.sha1()}", lambda: f"request {faker.uuid4()} took {digits(3)} ms", lambda: f"sha256 {faker.sha256()}",
        lambda: f"version {chance.randint(0, 20)}.{chance.randint(0, 20)}.{chance.randint(0, 200)}.{chance.randint(0, 20)}",
        lambda: f"ISBN {faker.isbn13()}", lambda: f"epoch {digits(10)}, {digits(13)} ms", lambda: faker.paragraph(), lambda: faker.text(),
        lambda: f"EAN {faker.ean13()}", lambda: f"part {digits(9)}, tracking {digits(12)}", lambda: f"{faker.iso8601()} INFO {faker.sentence()}",
    ]
    for _ in range(count):
        yield chance.choice(makes)(), []


def secret_lines(seed, count):
    """Lines of code and configuration: with a secret of a known form, or with something that is none."""
    chance = random.Random(seed + 3)
    draw = lambda alphabet, n: "".join(chance.choice(alphabet) for _ in range(n))
    word = string.ascii_letters + string.digits
    upper = string.ascii_uppercase + "234567"
    hexa = "0123456789abcdef"
    forms = {
        "aws_key": lambda: "AKIA" + draw(upper, 16), "github_token": lambda: "ghp_" + draw(word, 36),
        "gitlab_token": lambda: "glpat-" + draw(word, 20), "slack_token": lambda: "xoxb-" + draw(string.digits, 12) + "-" + draw(word, 24),
        "stripe_key": lambda: "sk_live_" + draw(word, 24), "twilio_key": lambda: "SK" + draw(hexa, 32),
        "sendgrid_key": lambda: "SG." + draw(word, 22) + "." + draw(word, 43), "npm_token": lambda: "npm_" + draw(word, 36),
        "openai_key": lambda: "sk-" + draw(word, 20) + "T3BlbkFJ" + draw(word, 20), "pypi_token": lambda: "pypi-AgEIcHlwaS5vcmc" + draw(word, 80),
        "jwt": lambda: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI" + draw(word, 30) + "." + draw(word, 43),
        "gcp_key": lambda: "AIza" + draw(word, 35), "anthropic_key": lambda: "sk-ant-api03-" + draw(word, 93),
        "huggingface_token": lambda: "hf_" + draw(string.ascii_letters, 34), "generic_secret": lambda: draw(word, 32),
    }
    names = ["token", "api_key", "secret", "client_secret"]
    shapes = ['{name} = "{value}"', "export {upper}={value}", '{{"{name}": "{value}"}}', "{name}: {value}", "curl -H 'X-Api-Key: {value}'"]
    nothing = ['{name} = get_secret("vault/{name}")', "{upper}=${{{upper}}}", 'name = "value of the {name}"', 'url = "https://example.com/{name}"',
               'digest = "{hash}"', "id: {uuid}", "{name}: changeme", "# set the {name} in the environment", 'text = "a plain sentence about {name}s"']
    faker = Faker("en_US")
    faker.seed_instance(seed + 3)
    for _ in range(count):
        name = chance.choice(names)
        if chance.random() < 0.5:
            line = chance.choice(nothing).format(name=name, upper=name.upper(), hash=draw(hexa, 64), uuid=faker.uuid4())
            yield line, []
            continue
        kind = chance.choice(list(forms))
        value = forms[kind]()
        shape = chance.choice(shapes[:4] if kind == "generic_secret" else shapes)
        line = shape.format(name=name, upper=name.upper(), value=value)
        yield line, [(line.index(value), line.index(value) + len(value), kind)]
        if chance.random() < 0.1:
            password = draw(word, 12)
            line = f"postgres://app:{password}@db.internal:5432/app"
            yield line, [(line.index(password), line.index(password) + len(password), "url_credentials")]
            key = draw(word, 86) + "=="
            line = f"DefaultEndpointsProtocol=https;AccountName=app;AccountKey={key};EndpointSuffix=core.windows.net"
            yield line, [(line.index(key), line.index(key) + len(key), "azure_key")]
            password = draw(word, 12)
            line = f"Server=db.internal;Database=app;User Id=app;Password={password};"
            yield line, [(line.index(password), line.index(password) + len(password), "connection_string")]


def ours(proctor, texts):
    """What is found, and the CPU time for it: with the start of the program, and without (by what more of the same takes)."""
    lines = "\n".join(json.dumps(text) for text in texts) + "\n"

    def scan(copies):
        # Other work on the machine counts for nobody.
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        out = subprocess.run([proctor, "content", "scan", "-", "--lines"], input=lines * copies, capture_output=True, text=True, check=True).stdout
        return out, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    (out, once), (_, often) = scan(1), scan(11)
    return [[(a, b, c) for a, b, c, sure in json.loads(line) if sure != "low"] for line in out.splitlines()], (once, max(often - once, 1e-6) / 10)


def presidio(texts):
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

    class NoModel(NlpEngine):
        """Pattern recognisers alone; words split at blanks, so that context words count."""

        engine_name, is_available = "none", True
        def load(self): pass
        def is_loaded(self): return True
        def get_supported_entities(self): return []
        def get_supported_languages(self): return ["en"]
        def is_stopword(self, word, language): return False
        def is_punct(self, word, language): return not any(c.isalnum() for c in word)
        def process_batch(self, texts, language, **_): return ((t, self.process_text(t, language)) for t in texts)
        def process_text(self, text, language):
            parts = [(m.group(), m.start()) for m in re.finditer(r"\w+|[^\w\s]", text)]
            words = [word for word, _ in parts]
            return NlpArtifacts([], words, [at for _, at in parts], [word.lower() for word in words], self, language)

    import presidio_analyzer.predefined_recognizers as known

    registry = RecognizerRegistry(supported_languages=["en"])
    back = {}
    for mine, theirs in PRESIDIO.items():
        for recogniser, entity in theirs.items():
            # One that is gone from its registry is an error here, not a class that it never finds.
            recogniser = getattr(known, recogniser)(supported_language="en")
            assert entity in recogniser.supported_entities, (entity, recogniser.supported_entities)
            registry.add_recognizer(recogniser)
            back[entity] = mine
    engine = AnalyzerEngine(registry=registry, nlp_engine=NoModel(), supported_languages=["en"])
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    found = [engine.analyze(text, "en") for text in texts]
    took = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
    return [[(r.start, r.end, back[r.entity_type]) for r in results if r.entity_type in back] for results in found], took


def detect_secrets(texts):
    """What is found in each line, as it scans a file: it says lines and values, so a value's first place counts."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    found = []
    with tempfile.TemporaryDirectory() as directory, default_settings():
        path = Path(directory) / "app.conf"
        for text in texts:
            # Each line for itself: of a prefix that it takes for the secret it would report one in a whole file.
            path.write_text(text + "\n")
            secrets = SecretsCollection()
            secrets.scan_file(str(path))
            said = []
            for _, secret in secrets:
                kind, value = DETECT_SECRETS.get(secret.type), secret.secret_value
                at = text.find(value) if kind and value else -1
                said += [(at, at + len(value), kind)] if at >= 0 else []
            found.append(said)
    # One finding for each place, as ours: the generic ones give way.
    overlap = lambda a, b: min(a[1], b[1]) > max(a[0], b[0])
    kept = []
    for said in found:
        named = sorted({s for s in said if s[2] != "generic_secret"})
        for one in sorted({s for s in said if s[2] == "generic_secret"}, key=lambda s: s[0] - s[1]):
            named += [] if any(overlap(one, other) for other in named) else [one]
        kept.append(named)
    return kept


def same(a, b):
    both = min(a[1], b[1]) - max(a[0], b[0])
    return a[2] == b[2] and both * 2 >= min(a[1] - a[0], b[1] - b[0]) and both > 0


def scores(truth, found, classes):
    table = {}
    for name in classes:
        hit = wrong = missed = 0
        for marked, said in zip(truth, found):
            marked, said = [s for s in marked if s[2] == name], [s for s in said if s[2] == name]
            hit += sum(any(same(m, s) for s in said) for m in marked)
            missed += sum(not any(same(m, s) for s in said) for m in marked)
            wrong += sum(not any(same(m, s) for m in marked) for s in said)
        table[name] = of(hit, wrong, missed)
    return table


def of(hit, wrong, missed):
    precision, recall = hit / max(1, hit + wrong), hit / max(1, hit + missed)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall), hit + missed


def table(classes, a, b, other, has):
    """Precision, recall and F1 of each class; of the other only where it has the class at all."""
    print(f"{'class':20} {'n':>5}   {'proctor P':>9} {'R':>6} {'F1':>6}   {other + ' P':>16} {'R':>6} {'F1':>6}")
    for name in classes:
        (p, r, f, n), (tp, tr, tf, _) = a[name], b[name]
        theirs = f"{tp:16.3f} {tr:6.3f} {tf:6.3f}" if name in has else f"{'-':>16} {'-':>6} {'-':>6}"
        print(f"{name:20} {n:5}   {p:9.3f} {r:6.3f} {f:6.3f}   {theirs}")


CREDENTIALS = {"aws_key", "gcp_key", "azure_key", "github_token", "gitlab_token", "slack_token", "stripe_key", "openai_key", "anthropic_key",
               "twilio_key", "sendgrid_key", "npm_token", "pypi_token", "huggingface_token", "jwt", "private_key", "url_credentials",
               "connection_string", "generic_secret"}


def others(args):
    """Credentials made from somebody else's patterns, whatever class each is given; and what is found where nothing is."""
    lines = patterns.credentials(args.scanner, args.seed)
    texts, truth = [text for text, _ in lines], [spans for _, spans in lines]
    (mine, _), theirs = ours(args.proctor, texts), detect_secrets(texts)
    covers = lambda span, said: any(min(span[1], s[1]) - max(span[0], s[0]) >= (span[1] - span[0]) / 2 for s in said)
    total, missed = sum(map(len, truth)), set()
    print(f"\n{len(texts)} lines from {len({rule for spans in truth for *_, rule in spans})} patterns of Betterleaks and Veles, {total} credentials")
    for name, found in (("proctor", mine), ("detect-secrets", theirs)):
        hit = sum(covers(span, [s for s in said if s[2] in CREDENTIALS]) for spans, said in zip(truth, found) for span in spans)
        print(f"{name:15} R {hit / max(1, total):.3f}")
    if args.mistakes:
        for text, spans, said in zip(texts, truth, mine):
            missed |= {(span[2], text) for span in spans if not covers(span, [s for s in said if s[2] in CREDENTIALS])}
        for rule, text in sorted(missed):
            print("missed", rule, repr(text[:160]))
    lines = patterns.written(args.written)
    (mine, _), size = ours(args.proctor, lines), sum(map(len, lines))
    alarms = [(text, said) for text, said in zip(lines, mine) for said in said if said[2] not in {"email", "ip_address"}]
    print(f"{len(lines)} lines of lock files and libraries, {size} bytes: {len(alarms)} matches but for addresses")
    for text, (start, end, kind) in alarms if args.mistakes else ():
        print("written", kind, repr(text[max(0, start - 40):end + 20]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("proctor", type=Path)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--scanner", type=Path, default=Path(sys.executable).with_name("kingfisher"), help="Kingfisher's program")
    parser.add_argument("--written", nargs="*", default=[Path(json.__file__).parent.parent, "."], help="where files that others wrote are")
    parser.add_argument("--mistakes", action="store_true", help="show what was missed and what was wrong")
    args = parser.parse_args()

    corpus = [*evaluator_sentences(args.seed, args.samples), *carrier_sentences(args.seed, args.samples), *plain_sentences(args.seed, args.samples // 2)]
    texts, truth = [text for text, _ in corpus], [spans for _, spans in corpus]
    mine, my_time = ours(args.proctor, texts)
    theirs, their_time = presidio(texts)
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts)} texts, {size} bytes, seed {args.seed}")
    present = {theirs for spans in truth for *_, theirs in spans}
    classes = [name for name in [*PRESIDIO, *OURS_ALONE] if name in present]
    a, b = scores(truth, mine, classes), scores(truth, theirs, classes)
    table(classes, a, b, "presidio", PRESIDIO)
    worse = [name for name in classes if name in PRESIDIO and a[name][2] + 1e-9 < b[name][2]]
    for what, mine_took in zip(("with its start", "running"), my_time):
        print(f"CPU: proctor {what} {mine_took:.3f} s, presidio {their_time:.3f} s: {their_time / mine_took:.0f} times")
    if args.mistakes:
        for text, marked, said in zip(texts, truth, mine):
            said = [s for s in said if s[2] in classes]
            for span in marked:
                if not any(same(span, s) for s in said):
                    print("missed", span[2], repr(text[max(0, span[0] - 30):span[1] + 15]))
            for span in said:
                if not any(same(m, span) for m in marked):
                    print("wrong", span[2], repr(text[max(0, span[0] - 30):span[1] + 15]))

    lines = list(secret_lines(args.seed, args.samples))
    texts, truth = [text for text, _ in lines], [spans for _, spans in lines]
    mine, _ = ours(args.proctor, texts)
    theirs = detect_secrets(texts)
    classes = sorted({kind for spans in truth for *_, kind in spans})
    clean = [(said, values) for spans, said, values in zip(truth, mine, theirs) if not spans]
    print(f"\n{len(texts)} lines of code, {len(clean)} of them without a secret")
    a, b = scores(truth, mine, classes), scores(truth, theirs, classes)
    table(classes, a, b, "detect-secrets", DETECT_SECRETS.values())
    for name, found, at in (("proctor", mine, 0), ("detect-secrets", theirs, 1)):
        of_them = [[s for s in said if s[2] in classes] for said in found]
        hit = sum(any(same(m, s) for s in said) for marked, said in zip(truth, of_them) for m in marked)
        wrong = sum(not any(same(m, s) for m in marked) for marked, said in zip(truth, of_them) for s in said)
        p, r, f, _ = of(hit, wrong, sum(map(len, truth)) - hit)
        alarms = sum(any(s[2] in classes for s in pair[at]) for pair in clean)
        print(f"{name:15} P {p:.3f} R {r:.3f} F1 {f:.3f}, false alarms on {alarms} lines without a secret")
    others(args)
    if worse:
        raise SystemExit(f"below presidio's F1 in: {', '.join(worse)}")


if __name__ == "__main__":
    main()
