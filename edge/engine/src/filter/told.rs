//! Secrets that what stands before them gives away, without a sign between the two: `os.getenv("DB_PASSWORD", "x")`,
//! `ENV API_KEY x`, `IDENTIFIED BY 'x'`, `| API_KEY | x |`, "the password is x", and what [`commands`] take.
//!
//! The way goes back from the value, which has to be a word with a letter and a digit: of these there are few, and in most
//! texts nothing has to be looked for.

use super::assigned::bare;
use super::commands;
use super::names::{Kind, kind_of};
use super::text::{Text, alnum};
use proctor_model::content::{Confidence, ContentClass as Class};

/// Longest value, in bytes.
const WORD_BYTES_MAX: usize = 128;
/// Longest name of a secret.
const NAME_BYTES_MAX: usize = 48;
/// How far back a word is looked for that speaks of a password, in bytes.
const SAID_BYTES_MAX: usize = 96;

/// Range, class and confidence.
pub(super) type Hit = (usize, usize, Class, Confidence);

/// What a password is called in speech.
const NOUNS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pw",
    "pwd",
    "passwort",
    "kennwort",
    // Mot de passe.
    "passe",
    "contraseña",
    "contrasena",
    "senha",
    "wachtwoord",
    "adgangskode",
    "passord",
    "lösenord",
    "losenord",
    "salasana",
    "hasło",
    "haslo",
    "heslo",
    "jelszó",
    "jelszo",
    "parola",
    "пароль",
];

/// What stands between it and its value.
const VERBS: &[&str] = &[
    "is", "ist", "lautet", "est", "es", "è", "é", "jest", "är", "er", "este",
];

/// Of what is said of a password and is none.
const OTHERS: &[&str] = &[
    "hash",
    "hashes",
    "hashed",
    "policy",
    "length",
    "manager",
    "field",
    "format",
    "type",
    "page",
    "version",
    "id",
    "file",
    "algorithm",
    "encryption",
    "no",
    "not",
    "without",
];

/// Whose password it is.
const USERS: &[&str] = &[
    "login",
    "user",
    "username",
    "account",
    "benutzer",
    "utilisateur",
    "usuario",
    "utente",
    "gebruiker",
];

/// Letters of what is written with digits and is no secret: algorithms, encodings, standards.
const TERMS: &[&str] = &[
    "sha",
    "md",
    "aes",
    "des",
    "utf",
    "base",
    "hs",
    "rs",
    "es",
    "ps",
    "iso",
    "rfc",
    "hmacsha",
    "varchar",
    "nvarchar",
    "char",
    "int",
    "uint",
    "float",
    "decimal",
    "varbinary",
    // Of a time: `2024-05-15T03:00Z`.
    "t",
    "z",
    "pbkdf",
    "argon",
    "chacha",
    "cp",
    "latin",
    "ipv",
    "windows",
    "ed",
    "rsa",
];

/// The secret that begins in the run of characters `start..end`, or goes on in it.
pub(super) fn told(text: Text<'_>, start: usize, end: usize) -> Option<Hit> {
    let word = Word::around(text, start, end)?;
    let token_end = text.run_back(word.opened(), 4, is_blank);
    let spaced = token_end < word.opened();
    let hit = match text.before(token_end) {
        b',' if word.quoted => pair(&word, token_end.saturating_sub(1)),
        b'(' if word.quoted => setter(&word, token_end.saturating_sub(1)),
        b'|' if spaced => cell(&word, token_end.saturating_sub(1)),
        _ if spaced => named(&word, token_end).or_else(|| said(&word, token_end)),
        _ => None,
    };
    hit.or_else(|| commands::given(&word, token_end, spaced))
}

/// What may be a value: as far as neither a blank nor a quotation mark stands in it.
pub(super) struct Word<'t> {
    pub(super) text: Text<'t>,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
}

impl<'t> Word<'t> {
    /// The word around a run with a digit. Of several such runs in one word, the first finds it.
    fn around(text: Text<'t>, from: usize, to: usize) -> Option<Self> {
        let beside = |b: u8| b"!#$%&*@^?".contains(&b);
        let letters = text.bytes(from, to).iter().any(u8::is_ascii_alphabetic);
        if !letters && !beside(text.before(from)) && !beside(text.at(to)) {
            return None;
        }
        let plain = |b: u8| is_inside(b) && !b.is_ascii_digit();
        let start = text.run_back(from, WORD_BYTES_MAX, plain);
        let long = from.saturating_sub(start) >= WORD_BYTES_MAX;
        if long || text.before(start).is_ascii_digit() {
            return None;
        }
        let end = text.run(to, WORD_BYTES_MAX, is_inside);
        let quote = text.before(start);
        let quoted = is_quote(quote) && text.at(end) == quote;
        let closes = |b: u8| matches!(b, b'.' | b',' | b';' | b':' | b')' | b'?' | b']' | b'}');
        let end = match quoted {
            true => end,
            false => text.run_back(end, 3, closes),
        };
        (end > start && end.saturating_sub(start) <= WORD_BYTES_MAX).then_some(Self {
            text,
            start,
            end,
            quoted,
        })
    }

    /// Where it begins with its quotation mark.
    fn opened(&self) -> usize {
        self.start.saturating_sub(usize::from(self.quoted))
    }

    /// Where it ends with its quotation mark.
    pub(super) fn closed(&self) -> usize {
        self.end.saturating_add(usize::from(self.quoted))
    }

    pub(super) fn written(&self) -> &'t str {
        self.text.slice(self.start, self.end)
    }

    /// A part of it as a secret of this kind.
    pub(super) fn part(&self, start: usize, end: usize, kind: Kind) -> Option<Hit> {
        let value = self.text.slice(start, end);
        let mixed = value.bytes().any(|b| b.is_ascii_digit())
            && value.bytes().any(|b| b.is_ascii_alphabetic());
        let (_, _, class, sure) = bare(value, kind).filter(|_| mixed)?;
        Some((start, end, class, sure))
    }

    /// It as a secret of this kind.
    fn secret(&self, kind: Kind) -> Option<Hit> {
        self.part(self.start, self.end, kind)
    }

    /// The same where what speaks for it may mean something else: names and terms of the trade are none.
    fn unlike_a_term(&self, kind: Kind) -> Option<Hit> {
        let written = self.written();
        let other = written.len() < 6 || kind_of(written).is_some() || is_term(written);
        self.secret(kind).filter(|_| !other)
    }
}

pub(super) fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn is_quote(b: u8) -> bool {
    matches!(b, b'"' | b'\'' | b'`')
}

fn is_inside(b: u8) -> bool {
    !b.is_ascii_whitespace() && !is_quote(b) && !matches!(b, b'<' | b'>' | b'\\' | 0)
}

fn is_name(b: u8) -> bool {
    alnum(b) || matches!(b, b'_' | b'-' | b'.')
}

/// `8-character`, `SHA-256`, `base64`, `OAuth2`, `address1`, `90days`: words with digits that mean something.
pub(super) fn is_term(value: &str) -> bool {
    let bytes = value.as_bytes();
    let inner = bytes.get(..bytes.len().saturating_sub(1));
    if inner.is_some_and(|inner| inner.iter().any(|b| b"!#$&*^".contains(b))) {
        return false;
    }
    value.split(|c: char| c.is_ascii_punctuation()).all(|part| {
        let part = part.as_bytes();
        let digits = part.iter().filter(|b| b.is_ascii_digit()).count();
        let head = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let tail = part.iter().rev();
        let tail = tail.take_while(|b| b.is_ascii_lowercase()).count();
        let numbered = digits == 1 && head.saturating_add(1) == part.len();
        let unit = digits <= 4 && digits.saturating_add(tail) == part.len();
        let letters = part.iter().filter(|b| b.is_ascii_alphabetic());
        let letters = letters.map(|b| char::from(b.to_ascii_lowercase()));
        digits == 0
            || digits == part.len()
            || numbered
            || unit
            || TERMS.contains(&letters.collect::<String>().as_str())
    })
}

/// `os.getenv("DB_PASSWORD", "x")`, `config.set("API_KEY", "x")`; and `session.login("bob", "x")`, `auth=("bob", "x")`.
/// Two strings and no more, or what follows is no string: in a list of names each is a name.
fn pair(word: &Word<'_>, comma: usize) -> Option<Hit> {
    let text = word.text;
    let behind = text.run(word.closed(), 4, is_blank);
    let next = text.run(behind.saturating_add(1), 4, is_blank);
    let ends = match text.at(behind) {
        b')' => true,
        b',' => !is_quote(text.at(next)),
        _ => false,
    };
    let name_end = comma.checked_sub(1)?;
    let quote = text.at(name_end);
    let name_start = text.run_back(name_end, NAME_BYTES_MAX, is_inside);
    let open = name_start.checked_sub(1)?;
    let bracket = text.run_back(open, 2, is_blank).checked_sub(1)?;
    let parted = is_quote(quote) && text.at(open) == quote && text.at(bracket) == b'(';
    if !ends || !parted {
        return None;
    }
    let name = text.slice(name_start, name_end);
    let start = text.run_back(bracket, 32, |b| is_name(b) || b == b'=');
    let function = text.slice(start, bracket).to_ascii_lowercase();
    let (kind, is_sure) = match kind_of(name).filter(|_| name.bytes().all(is_name)) {
        Some(kind) => (kind, handles_settings(&function)),
        None => (Kind::Password, logs_in(&function)?),
    };
    let (start, end, class, sure) = word.unlike_a_term(kind)?;
    let most = if is_sure { sure } else { Confidence::Medium };
    Some((start, end, class, sure.min(most)))
}

/// Whether a function reads or writes settings: what others do with two strings is not known.
fn handles_settings(function: &str) -> bool {
    let mut parts = function.rsplit('.');
    let last = parts.clone().next().unwrap_or_default();
    last.starts_with("get") || last.starts_with("set") || parts.any(|part| part.starts_with("env"))
}

/// Whether a function takes a user and a password; if so, whether it takes hardly anything else.
fn logs_in(function: &str) -> Option<bool> {
    let ends = |ends: &[&str]| ends.iter().any(|end| function.ends_with(end));
    if ends(&["oauth", "oauth="]) {
        return None;
    }
    let is_sure = ends(&["login", "logon", "basicauth", "basic_auth", "auth="]);
    let others = [
        "signin",
        "sign_in",
        "auth",
        "authenticate",
        "credentials",
        "credential",
    ];
    (is_sure || ends(&others)).then_some(is_sure)
}

/// `dataSource.setPassword("x")`
fn setter(word: &Word<'_>, bracket: usize) -> Option<Hit> {
    let text = word.text;
    let start = text.run_back(bracket, NAME_BYTES_MAX, |b| alnum(b) || b == b'_');
    let function = text.slice(start, bracket);
    let rest = ["set", "Set", "with", "With"]
        .iter()
        .find_map(|verb| function.strip_prefix(verb))?;
    let named = rest.starts_with(|c: char| c == '_' || c.is_ascii_uppercase());
    let kind = kind_of(rest).filter(|_| named)?;
    let behind = text.run(word.closed(), 4, is_blank);
    word.unlike_a_term(kind).filter(|_| text.at(behind) == b')')
}

/// `| API_KEY | x |`, where the bar between the two stands at `bar`.
fn cell(word: &Word<'_>, bar: usize) -> Option<Hit> {
    let text = word.text;
    let beside = |b: u8| is_blank(b) || matches!(b, b'`' | b'*');
    let name_end = text.run_back(bar, NAME_BYTES_MAX, beside);
    let name_start = text.run_back(name_end, NAME_BYTES_MAX, is_name);
    let first = text.run_back(name_start, NAME_BYTES_MAX, beside);
    let behind = text.run(word.closed(), NAME_BYTES_MAX, is_blank);
    if text.before(first) != b'|' || text.at(behind) != b'|' {
        return None;
    }
    let kind = kind_of(text.slice(name_start, name_end))?;
    let (start, end, class, sure) = word.unlike_a_term(kind)?;
    Some((start, end, class, sure.min(Confidence::Medium)))
}

/// Words before a place, the nearest first, as far as a sentence goes.
fn words_before<'t>(text: Text<'t>, at: usize) -> impl Iterator<Item = String> + use<'t> {
    let from = text
        .text
        .ceil_char_boundary(at.saturating_sub(SAID_BYTES_MAX));
    let words = text.slice(from, at).split_ascii_whitespace().rev();
    let here = words.take_while(|word| !word.ends_with(['.', '!', '?']));
    here.map(|word| {
        word.trim_matches(|c: char| c.is_ascii_punctuation())
            .to_lowercase()
    })
}

/// `ENV API_KEY x`, `setx API_KEY x`; `IDENTIFIED BY 'x'`, `WITH PASSWORD 'x'`.
fn named(word: &Word<'_>, end: usize) -> Option<Hit> {
    let text = word.text;
    let start = text.run_back(end, NAME_BYTES_MAX, is_name);
    let name = text.slice(start, end);
    if word.quoted {
        let within = |ends: &[&str]| {
            let mut near = words_before(text, start).take(3);
            near.any(|word| ends.contains(&word.as_str()))
        };
        let set = (name.eq_ignore_ascii_case("by") && within(&["identified"]))
            || (name.eq_ignore_ascii_case("password")
                && within(&["with", "encrypted", "login", "role", "user"]));
        if set {
            return word.secret(Kind::Password);
        }
    }
    let kind = kind_of(name)?;
    let command = words_before(text, start).next()?;
    let sets = ["env", "setx", "setenv"].contains(&command.as_str());
    word.secret(kind).filter(|_| sets)
}

/// "The password for the wiki is x", `user bob / pw x`, `login bob password x`.
fn said(word: &Word<'_>, end: usize) -> Option<Hit> {
    let text = word.text;
    let start = text.run_back(end, 16, |b| !b.is_ascii_whitespace());
    let last = text.slice(start, end).trim_end_matches(':').to_lowercase();
    let is_one = |list: &[&str], word: &str| list.contains(&word);
    let before = words_before(text, start);
    let speaks = if is_one(VERBS, &last) {
        before
            .take(4)
            .find(|word| is_one(NOUNS, word) || is_one(OTHERS, word))
            .is_some_and(|word| is_one(NOUNS, &word))
    } else {
        is_one(NOUNS, &last) && before.take(3).any(|word| is_one(USERS, &word))
    };
    if !speaks {
        return None;
    }
    let (start, end, class, _) = word.unlike_a_term(Kind::Password)?;
    Some((start, end, class, Confidence::Medium))
}

#[cfg(test)]
mod tests {
    use super::super::runs::runs;
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let whole = Text { text, key: "" };
        let mut found = Vec::new();
        runs(text.as_bytes(), |start, end| {
            if text[start..end].bytes().any(|b| b.is_ascii_digit()) {
                found.extend(told(whole, start, end).map(|(a, b, ..)| &text[a..b]));
            }
        });
        found
    }

    #[test]
    fn what_stands_before_gives_it_away() {
        for (text, value) in [
            ("os.getenv(\"DB_PASSWORD\", \"Hunter4821\")", "Hunter4821"),
            (
                "config.set('API_KEY', 'Zx81qLmP09aBcD77', true)",
                "Zx81qLmP09aBcD77",
            ),
            ("session.login(\"bob\", \"Hunter4821\")", "Hunter4821"),
            (
                "requests.get(url, auth=(\"bob\", \"Hunter4821\"))",
                "Hunter4821",
            ),
            ("HTTPBasicAuth('bob', 'Hunter4821')", "Hunter4821"),
            ("dataSource.setPassword(\"Hunter4821\");", "Hunter4821"),
            (".withApiKey(\"Zx81qLmP09aBcD77\")", "Zx81qLmP09aBcD77"),
            ("| API_KEY | Zx81qLmP09aBcD77 |", "Zx81qLmP09aBcD77"),
            ("| `DB_PASSWORD` | `k@3Fd!9xQ` |", "k@3Fd!9xQ"),
            ("ENV DB_PASSWORD Hunter4821", "Hunter4821"),
            ("setx API_KEY \"Zx81qLmP09aBcD77\" /M", "Zx81qLmP09aBcD77"),
            (
                "CREATE USER 'bob'@'%' IDENTIFIED BY 'Hunter4821';",
                "Hunter4821",
            ),
            ("ALTER ROLE bob WITH PASSWORD 'Hunter4821';", "Hunter4821"),
            ("The password is Hunter4821.", "Hunter4821"),
            (
                "the password for the wiki is k!3Fd!9xQ, please",
                "k!3Fd!9xQ",
            ),
            ("Das Passwort lautet Hunter4821", "Hunter4821"),
            ("Le mot de passe est Hunter4821", "Hunter4821"),
            ("La contraseña es Hunter4821", "Hunter4821"),
            ("La password è Hunter4821", "Hunter4821"),
            ("user bob / pw Hunter4821", "Hunter4821"),
            (
                "machine example.com login bob password Hunter4821",
                "Hunter4821",
            ),
        ] {
            assert_eq!(found(text), [value], "{text}");
        }
    }

    #[test]
    fn what_says_something_else() {
        for text in [
            "t(\"password\", \"utf-8\")",
            "hash(\"password\", \"SHA-256\")",
            "fields = (\"password\", \"address1\")",
            "fields = (\"password\", \"field2b7\", \"name3c\")",
            "[\"password\", \"Hunter4821\"]",
            "{\"type\": \"password\", \"x4821Hunter\": 1}",
            "f(\"color\", \"Hunter4821\")",
            "f(\"api_key\", \"api_token2\")",
            "os.getenv(\"DB_PASSWORD\", \"${OTHER_4821}\")",
            "page.click(\"bob\", \"Hunter4821\")",
            "getPassword(\"Hunter4821\")",
            "OAuth(\"github\", \"v3api2x\")",
            "setPassword(\"SHA-256\")",
            "settle(\"Hunter4821\")",
            "setName(\"Hunter4821\")",
            "| name | Hunter4821 |",
            "| password | 8-character |",
            "| password | varchar255 |",
            "The password is 2024-05-15T03:00:00Z",
            "| password | Hunter4821",
            "ENV APP_NAME Hunter4821",
            "unset API_KEY Zx81qLmP09aBcD77",
            "sorted by 'Hunter4821'",
            "the password hash is 5f4dcc3b5aa765d61d8327deb882cf99",
            "The password is 8-character",
            "The password is base64-encoded",
            "The password is SHA256",
            "My password is weak. It is Hunter4821",
            "the release is v2024b",
            "a password Hunter4821",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn two_strings_may_be_something_else() {
        let sure = |text: &str| {
            let mut sure = None;
            runs(text.as_bytes(), |start, end| {
                let hit = told(Text { text, key: "" }, start, end);
                sure = sure.or(hit.map(|(.., sure)| sure));
            });
            sure
        };
        for (text, expected) in [
            (
                "os.getenv(\"DB_PASSWORD\", \"Hunter4821\")",
                Confidence::High,
            ),
            (
                "ENV.fetch(\"DB_PASSWORD\", \"Hunter4821\")",
                Confidence::High,
            ),
            ("session.login(\"bob\", \"Hunter4821\")", Confidence::High),
            (
                "client.read(\"secret\", \"k8sClusterName\")",
                Confidence::Medium,
            ),
            ("t(\"password\", \"Passw0rt\")", Confidence::Medium),
            (
                "authenticate(\"google\", \"oauth2Callback\")",
                Confidence::Medium,
            ),
        ] {
            assert_eq!(sure(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_word_is_looked_at_once() {
        assert_eq!(found("The password is a1!b2!c3!d4"), ["a1!b2!c3!d4"]);
        let long = format!("The password is {}", "a1!".repeat(80));
        assert!(found(&long).is_empty());
    }
}
