"""Secrets as CredSweeper's rules describe them, made anew from each rule's pattern and confirmed by it; passwords and tokens in
the many ways in which programs, settings, commands and people write them down; and lines that only look so.
"""

import random
import re
import string
import warnings
from importlib.metadata import files
from pathlib import Path

import rstr
import yaml
from faker import Faker

# Rules about what is no secret by itself: ids, domains, ways to write that are met below; and encoded JSON, of which a pattern
# makes none that can be read.
NOT_SECRETS = {
    "JSON Web Token",
    "JSON Web Key",
    "JWK",
    "Azure Access Token",
    "Grafana Provisioned API Key",
    "BASE64 encoded PEM Private Key",
    "BASE64 Private Key",
    "Github App Installation Token",
    "NTLM Token",
    "UUID",
    "Firebase Domain",
    "AWS S3 Bucket",
    "Tencent WeChat API App ID",
    "DOC_GET",
    "DOC_CREDENTIALS",
    "SECRET_PAIR",
    "PASSWD_PAIR",
    "IP_ID_PASSWORD_TRIPLE",
    "ID_PAIR_PASSWD_PAIR",
    "ID_PASSWD_PAIR",
    "Product Activation Key",
    "CMD Password",
    "CMD Token",
    "CMD Secret",
    "SQL Password",
    "CURL Options",
    "CURL User Password",
    "CMD ConvertTo-SecureString",
}
BARE = ["use {} for it", 'value = "{}"', "- {}", "{}", "curl -d {} https://example.com/api"]
NAMED = ["{n}={}", '{n}: "{}"', "export {n}='{}'"]


def plain(pattern):
    """A pattern for the generator: without what stands around the secret, looks around, or depends on what matched."""
    value = pattern.find("(?P<value>")
    depth, end = 0, len(pattern)
    for at in range(value, len(pattern)):
        escaped = pattern[at - 1] == "\\" and pattern[at - 2] != "\\"
        depth += (pattern[at] == "(" and not escaped) - (pattern[at] == ")" and not escaped)
        if depth == 0:
            end = at + 1
            break
    pattern = pattern[value:end].replace("(?P<value>", "(", 1)
    pattern = re.sub(r"\(\?\(a\).*", ")", pattern) if "(?(a)" in pattern else pattern
    pattern = re.sub(r"\(\?<?[!=][^()]*\)", "", pattern)
    pattern = re.sub(r"\(\?P<\w+>", "(", re.sub(r"\(\?-?i:", "(", pattern)).replace("\\b", "")
    # Of what may be of any length, not the longest.
    return re.sub(r"\{(\d+),(\d{3,})\}", lambda two: f"{{{two[1]},{min(int(two[2]), int(two[1]) + 60)}}}", pattern)


def by_rule(seed, each=4):
    """Lines with a secret of a known form, and the rule that describes it."""
    warnings.filterwarnings("ignore")
    path = next(file for file in files("credsweeper") if str(file).endswith("rules/config.yaml"))
    maker, chance = rstr.Rstr(random.Random(seed)), random.Random(seed)
    for rule in yaml.safe_load(Path(path.locate()).read_text()):
        if rule["type"] not in {"pattern", "multi"} or rule["name"] in NOT_SECRETS or "(?P<value>" not in rule["values"][0]:
            continue
        pattern = rule["values"][0]
        try:
            check, simple = re.compile(pattern), plain(pattern)
            made = [maker.xeger(simple) for _ in range(each)]
        except Exception:
            # A pattern that the generator can't read.
            continue
        name = re.sub(r"\W+", "_", rule["name"].lower()).strip("_")
        for secret in made:
            for how, carriers in (("by itself", BARE), ("named", NAMED)):
                before, behind = chance.choice(carriers).split("{}")
                before = before.replace("{n}", name)
                line = before + secret + behind
                if line.isprintable() and line.isascii() and any(found.group("value") == secret for found in check.finditer(line)):
                    yield line, [(len(before), len(before) + len(secret), f"{rule['name']}, {how}")]


# Ways to write a password down. `{n}` is what it is called, `{v}` the secret.
PASSWORDS = [
    "password",
    "db_password",
    "PASSWORD",
    "dbPassword",
    "spring.datasource.password",
    "MYSQL_ROOT_PASSWORD",
    "admin_pass",
    "userPwd",
    "SMTP_PASS",
    "passwd",
]
TOKENS = [
    "token",
    "api_key",
    "API_KEY",
    "apiToken",
    "client_secret",
    "clientSecret",
    "SECRET_KEY",
    "auth_token",
    "accessToken",
    "x-api-key",
    "signing_key",
    "webhook_secret",
]
ASSIGNED = {
    "properties": "{n}={v}",
    "properties, spaced": "{n} = {v}",
    "yaml": "  {n}: {v}",
    "yaml, quoted": '  {n}: "{v}"',
    "json": '{{"{n}": "{v}", "ttl": 30}}',
    "json in json": '{{"body": "{{\\"{n}\\": \\"{v}\\"}}"}}',
    "python": "{n} = '{v}'",
    "keyword argument": 'connect(host="db", {n}="{v}", timeout=3)',
    "default of getenv": 'os.getenv("{n}", "{v}")',
    "const": 'const {n}: string = "{v}";',
    "java": 'private static final String {n} = "{v}";',
    "go": '{n} := "{v}"',
    "php": "'{n}' => '{v}',",
    "define": "define('{n}', '{v}');",
    "ruby": ':{n} => "{v}"',
    "csharp": 'public string {n} {{ get; set; }} = "{v}";',
    "xml element": "<{n}>{v}</{n}>",
    "xml attribute": '<add {n}="{v}" />',
    "xml key and value": '<add key="{n}" value="{v}" />',
    "xml property": '<property name="{n}" value="{v}"/>',
    "env in yaml": "- name: {n}\n  value: {v}",
    "dockerfile": "ENV {n} {v}",
    "docker run": "docker run -e {n}={v} app:1",
    "export": "export {n}='{v}'",
    "powershell": '$env:{n} = "{v}"',
    "setx": "setx {n} {v}",
    "option": "app --{n} {v} --port 80",
    "option=": "app --{n}={v}",
    "setter": 'config.set("{n}", "{v}")',
    "comparison": 'if {n} == "{v}":',
    "terraform": 'variable "{n}" {{ default = "{v}" }}',
    "query": "https://api.example.com/v1?{n}={v}&page=2",
    "form": "user=app&{n}={v}",
    "header": "{n}: {v}\r\nAccept: */*",
    "ini, comment": "; {n}={v}",
    "sql value": "UPDATE settings SET value='{v}' WHERE name='{n}'",
    "log": "2024-11-02 10:11:12 DEBUG connecting with {n}={v}",
    "csv": "host,{n}\ndb1,{v}\n",
    "table": "| {n} | {v} |",
    "markdown": "**{n}**: `{v}`",
    "bare pair": "{n} {v}",
}
SAID = {
    "prose, is": "The password is {v}",
    "prose, for": "the password for the wiki is {v}, please change it",
    "prose, pw": "user bob / pw {v}",
    "login": "login: bob password: {v}",
    "german": "Das Passwort lautet {v}",
    "french": "Le mot de passe est {v}",
    "spanish": "La contraseña es {v}",
    "italian": "La password è {v}",
    "netrc": "machine example.com login bob password {v}",
    "curl -u": "curl -u bob:{v} https://example.com",
    "curl --user": "curl --user 'bob:{v}' https://example.com",
    "mysql -p": "mysql -u root -p{v} shop",
    "sshpass": "sshpass -p '{v}' ssh bob@host",
    "PGPASSWORD": "PGPASSWORD={v} psql -h db shop",
    "sql identified": "CREATE USER 'bob'@'%' IDENTIFIED BY '{v}';",
    "sql password": "ALTER ROLE bob WITH PASSWORD '{v}';",
    "url": "postgresql://bob:{v}@db.internal:5432/shop",
    "redis": "redis://:{v}@cache.internal:6379/0",
    "amqp": "amqps://bob:{v}@mq.internal/vhost",
    "mongodb": "mongodb+srv://bob:{v}@cluster0.example.net/shop",
    "git remote": "https://bob:{v}@git.example.com/shop.git",
    "jdbc": "jdbc:sqlserver://db:1433;databaseName=shop;user=sa;password={v};encrypt=true",
    "jdbc query": "jdbc:mysql://db:3306/shop?user=bob&password={v}",
    "ado": "Data Source=db;Initial Catalog=shop;User ID=sa;Password={v};",
    "odbc": "Driver={{PostgreSQL}};Server=db;Uid=bob;Pwd={v};",
    "pg keywords": "host=db port=5432 dbname=shop user=bob password={v}",
    "ldap": 'ldapsearch -D "cn=admin" -w {v} -b "dc=x"',
    "chpasswd": 'echo "bob:{v}" | chpasswd',
    "htpasswd": "htpasswd -b /etc/p bob {v}",
    "setter": 'dataSource.setPassword("{v}");',
    "login call": 'session.login("bob", "{v}")',
    "net use": "net use Z: \\\\host\\share {v} /user:bob",
    "wifi": "WIFI:S:home;T:WPA;P:{v};;",
    "docker login": "docker login -u bob -p {v} registry.example.com",
    "requests": 'requests.get(url, auth=("bob", "{v}"))',
    "bearer": "Authorization: Bearer {v}",
    "token header": "Authorization: token {v}",
    "ansible": "ansible_ssh_pass: {v}",
    "openssl": "openssl enc -aes-256-cbc -k {v}",
    "pass:": "openssl rsa -in key.pem -passin pass:{v}",
    "zip": "7z x a.zip -p{v}",
    "rsync": "RSYNC_PASSWORD={v} rsync a b",
}
# Only the forms of this are for what machines make, too.
MACHINE = {"bearer", "token header"}
NOTHING = [
    "password = os.environ['DB_PASSWORD']",
    "password: {{ vault_db_password }}",
    "password = getpass.getpass()",
    "PASSWORD=${DB_PASSWORD:?}",
    "token = request.headers.get('Authorization')",
    '"password": "********"',
    "password: <your password here>",
    "secret: changeme",
    "api_key = config['api_key']",
    "def login(user, password):",
    "self.password = password",
    "assert password is not None",
    "password=password, user=user",
    "passwordField.setPlaceholderText('Enter password')",
    '<input type="password" name="password" />',
    '"passwordResetUrl": "/account/reset"',
    "PASSWORD_HASHERS = ['django.contrib.auth.hashers.PBKDF2PasswordHasher']",
    "password_min_length: 12",
    "The token has expired, please log in again.",
    "tokens: 1532",
    "max_tokens=4096",
    '"token_type": "bearer"',
    "key: value",
    "primary_key=True",
    "sort_key = 'created_at'",
    "public_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bob@host",
    "password is required",
    "forgot your password?",
    "password must contain a digit",
    "token := strings.TrimSpace(line)",
    "secretName: app-tls",
    "valueFrom: {secretKeyRef: {name: app, key: password}}",
    "secret = Secret.from_name('app')",
    'key = f"user:{user_id}"',
    "cache_key = 'user-42-profile'",
    "const apiKey = process.env.API_KEY;",
    'String password = System.getenv("PASSWORD");',
    "pwd=$(pwd)",
    "cd $PWD && ls",
    "auth: none",
    "author: Jane Doe",
    "password = input('Password: ')",
    "kms_key_id: arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "tokenizer = AutoTokenizer.from_pretrained('bert-base-uncased')",
    "session.permanent = True",
    '"api_key_id": "k-1042"',
    "password: string;",
    "password?: string",
    "credentials: include",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    "curl -u $USER:$PASS https://example.com",
    "mysql -u root -p shop",
    "https://user:password@example.com/",
    "redis://localhost:6379/0",
    "postgresql://localhost/shop",
    "password = secrets.token_urlsafe(32)",
    "token=null",
    "secret: !Ref AppSecret",
    "passphrase: ''",
]


def secret_values(chance, faker):
    """What people choose, and what machines make."""
    word = string.ascii_letters + string.digits
    draw = lambda alphabet, n: "".join(chance.choice(alphabet) for _ in range(n))
    people = [
        lambda: faker.password(12, special_chars=False),
        lambda: faker.password(16),
        lambda: faker.last_name() + str(chance.randrange(1000, 9999)) + chance.choice("!#$%"),
        lambda: faker.word().title() + faker.word().title() + str(chance.randrange(10, 99)),
        lambda: "-".join(faker.words(4)),
    ]
    machines = [
        lambda: draw(word, chance.choice([20, 24, 32, 40, 64])),
        lambda: draw("0123456789abcdef", chance.choice([32, 40, 64])),
        lambda: str(faker.uuid4()),
        lambda: draw(word + "-_", 43),
        lambda: draw(word + "+/", 43) + "=",
    ]
    return lambda kind: chance.choice(people if kind == "password" else machines)()


def ways(seed, each=12):
    """Lines with a password or token, and the way in which it is written; then lines with none."""
    chance, faker = random.Random(seed), Faker("en_US")
    faker.seed_instance(seed)
    value = secret_values(chance, faker)
    for forms, kinds in ((ASSIGNED, ("password", "token")), (SAID, ("password",))):
        for way, form in forms.items():
            for kind in kinds:
                kind = "token" if way in MACHINE else kind
                for _ in range(each):
                    secret = value(kind)
                    # No way to write it down has room for quotes, and URLs have none for most signs.
                    if re.search(r"[\"'`\\<>&|{}()]", secret) or ("://" in form or "?" in form) and not re.fullmatch(r"[\w.-]+", secret):
                        secret = re.sub(r"[^\w.-]", "x", secret)
                    name = chance.choice(PASSWORDS if kind == "password" else TOKENS)
                    before, behind = form.split("{v}")
                    before, behind = before.format(n=name), behind.format(n=name)
                    yield before + secret + behind, [(len(before), len(before) + len(secret), f"{way} ({kind})")]


def nothing():
    return [(line, []) for line in NOTHING]
