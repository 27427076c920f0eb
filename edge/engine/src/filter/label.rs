//! What stands under the name of a password and is none: the name of a field or a constant, a route, a selector, a word
//! for how passwords are kept, the label of a field in some language.
//!
//! Nothing with a digit is one of these, but for what algorithms are called: people put digits into passwords. Nor is a
//! name with a word in it that is not known here: `AdminPassword` and `root-password` are passwords of somebody.

use super::called::is_translated;

/// Whether a value only names something.
pub(super) fn is_label(value: &str) -> bool {
    if is_kind(value) {
        return true;
    }
    let decoded = decoded(value);
    let value = decoded.as_deref().unwrap_or(value);
    let plain = !value.bytes().any(|b| b.is_ascii_digit());
    plain && (is_name(value) || is_message(value) || is_place(value) || is_translated(value))
}

/// What JSON means by a value that has letters as their numbers in it: `\u5bc6\u7801`. Many programs write none of ASCII's
/// otherwise.
fn decoded(value: &str) -> Option<String> {
    let (first, _) = value.split_once("\\u")?;
    let mut decoded = first.to_owned();
    for part in value.split("\\u").skip(1) {
        let (code, rest) = part.split_at_checked(4)?;
        let code = u32::from_str_radix(code, 16).ok()?;
        decoded.push(char::from_u32(code)?);
        decoded.push_str(rest);
    }
    Some(decoded)
}

/// How a password is kept and checked, of what type it is, what became of it: `'password' => 'hashed'`.
const KINDS: [&str; 36] = [
    "argon2",
    "argon2i",
    "argon2id",
    "bcrypt",
    "binary",
    "boolean",
    "changed",
    "cleartext",
    "confirmed",
    "digest",
    "disabled",
    "enabled",
    "encrypt",
    "encrypted",
    "hashed",
    "incorrect",
    "integer",
    "masked",
    "mismatch",
    "number",
    "nullable",
    "nvarchar",
    "pbkdf2",
    "plaintext",
    "prompt",
    "scram-sha-256",
    "scrypt",
    "secretstr",
    "securestring",
    "sha-256",
    "sha1",
    "sha256",
    "sha512",
    "unchanged",
    "updated",
    "varchar",
];

fn is_kind(value: &str) -> bool {
    KINDS.iter().any(|kind| value.eq_ignore_ascii_case(kind))
}

/// What a name of a password has in it.
const NOUNS: [&str; 10] = [
    "contrasena",
    "kennwort",
    "motdepasse",
    "passcode",
    "passe",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "pwd",
];

/// What stands before it or behind it in one word, where nobody would have it in a password.
const BESIDE: [&str; 24] = [
    "change",
    "changed",
    "confirm",
    "confirmation",
    "current",
    "enter",
    "error",
    "field",
    "forget",
    "forgot",
    "hash",
    "hide",
    "hint",
    "incorrect",
    "input",
    "invalid",
    "label",
    "missing",
    "repeat",
    "required",
    "reset",
    "retype",
    "update",
    "wrong",
];

/// What else the names of fields, texts and routes have in them, as a word of its own. Nothing that people say of a
/// password of theirs: whose it is, what it is for, how good it is.
const AROUND: [&str; 78] = [
    "account",
    "again",
    "alert",
    "auth",
    "authentication",
    "btn",
    "button",
    "check",
    "choose",
    "component",
    "controller",
    "create",
    "credentials",
    "de",
    "dialog",
    "digest",
    "edit",
    "email",
    "encrypted",
    "errors",
    "expired",
    "form",
    "forms",
    "hashed",
    "help",
    "helper",
    "icon",
    "id",
    "labels",
    "length",
    "link",
    "login",
    "match",
    "max",
    "message",
    "messages",
    "min",
    "mismatch",
    "modal",
    "mot",
    "name",
    "new",
    "nouveau",
    "old",
    "page",
    "pages",
    "placeholder",
    "policy",
    "profile",
    "recover",
    "recovery",
    "ref",
    "register",
    "request",
    "rules",
    "screen",
    "session",
    "settings",
    "short",
    "show",
    "signin",
    "signup",
    "strength",
    "submit",
    "text",
    "title",
    "toggle",
    "token",
    "txt",
    "type",
    "user",
    "users",
    "validate",
    "validation",
    "verify",
    "view",
    "visibility",
    "weak",
];

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 96;

/// `reset_password`, `forgotPassword`, `auth/password.reset`, `:password`, `Password:`: that word, and with it words that
/// are known or a sign that passwords have no use for. By itself it may be a password.
fn is_name(value: &str) -> bool {
    let bare = value.trim_end_matches([':', '*', '.', '?', '%']);
    let name = bare.trim_start_matches(['@', ':', '%', '#', '.', '$']);
    let joins = |b: u8| matches!(b, b'-' | b'_' | b'.' | b':' | b'/');
    let fits = |b: u8| b.is_ascii_alphabetic() || joins(b);
    if value.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return false;
    }
    // `resetPassword`: two words.
    let goes_on = |a: &u8, b: &u8| !(a.is_ascii_lowercase() && b.is_ascii_uppercase());
    let parts = name.as_bytes().split(|b| joins(*b));
    let (mut names_one, mut says_more) = (false, name.len() < value.len());
    for word in parts.flat_map(|part| part.chunk_by(goes_on)) {
        let rest = without_noun(word);
        let is_known = match rest {
            Some(rest) => is_one_of(rest, &BESIDE),
            None => is_one_of(word, &BESIDE) || is_one_of(word, &AROUND),
        };
        let is_bare = matches!(rest, Some(b"" | b"s"));
        if !is_known && !is_bare {
            return false;
        }
        names_one |= rest.is_some();
        says_more |= is_known;
    }
    names_one && says_more
}

fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    let mut words = words.iter();
    words.any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// What stands in a word behind or before that for a password.
fn without_noun(word: &[u8]) -> Option<&[u8]> {
    NOUNS.iter().find_map(|noun| {
        let noun = noun.as_bytes();
        let (front, last) = word.split_at_checked(word.len().checked_sub(noun.len())?)?;
        let (first, back) = word.split_at_checked(noun.len())?;
        match (
            last.eq_ignore_ascii_case(noun),
            first.eq_ignore_ascii_case(noun),
        ) {
            (true, _) => Some(front),
            (false, true) => Some(back),
            (false, false) => None,
        }
    })
}

/// What says in the name of a constant that it is that of an error or of a variable.
const SAID: [&str; 14] = [
    "ERROR",
    "EXPIRED",
    "FAILED",
    "FOUND",
    "INCORRECT",
    "INVALID",
    "KEY",
    "MISMATCH",
    "MISSING",
    "PASS",
    "REQUIRED",
    "TOKEN",
    "TOO",
    "WRONG",
];

/// `LOGIN_FAILED`, `RESET_PASSWORD`: the name of a constant that says what it is for.
fn is_message(value: &str) -> bool {
    let says = |word: &str| SAID.contains(&word) || is_one_of(word.as_bytes(), &NOUNS);
    is_constant(value) && value.split('_').any(says)
}

/// `API_TOKEN`: words in capitals.
pub(super) fn is_constant(value: &str) -> bool {
    let word = |word: &str| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_uppercase());
    value.contains('_') && value.split('_').all(word)
}

/// `/login`, `./auth/reset.html`, `#login-form`, `.field`, `input[type=password]`: where something is, in small letters.
fn is_place(value: &str) -> bool {
    let small = |b: u8| b.is_ascii_lowercase();
    let all = |rest: &str, signs: &[u8]| {
        rest.starts_with(|c: char| c.is_ascii_lowercase())
            && rest.bytes().all(|b| small(b) || signs.contains(&b))
    };
    let path = value.strip_prefix(['.', '~']).unwrap_or(value);
    let path = path.strip_prefix('.').unwrap_or(path);
    let selected = value.strip_prefix(['#', '.']);
    path.strip_prefix('/')
        .is_some_and(|path| all(path, b"-_./:{}?=&#*"))
        || selected.is_some_and(|name| all(name, b"-_"))
        || (value.ends_with(']') && value.contains('=') && all(value, b"-_.#[]=\"'\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_something_is_no_password() {
        for value in [
            "hashed",
            "Encrypted",
            "sha256",
            "argon2id",
            "RESET_PASSWORD",
            "LOGIN_FAILED",
            "reset_password",
            "forgot-password",
            "new-password",
            "forgotPassword",
            "NewPassword",
            "hashedPassword",
            "nouveauMotDePasse",
            "users/passwords/edit",
            "auth.passwords.reset",
            "auth/weak-password",
            "auth/wrong-password",
            "passwordConfirmation",
            "DB_PASSWORD",
            "SMTP_PASS",
            "PASSWORD_TOO_SHORT",
            "password-reset-token",
            "validatePassword",
            "confirmpassword",
            "passwordhash",
            "password_confirmation",
            "auth.password.label",
            "auth/reset-password",
            "users/password:edit",
            ":password",
            "@Password",
            "%password%",
            "Password:",
            "Password*",
            "/forgot-password",
            "/login",
            "/reset/:token",
            "./auth/reset.html",
            "../login",
            "#password",
            "#txtPassword",
            "#login-form",
            ".password-field",
            "input[type=password]",
            "input[name=\"password\"]",
        ] {
            assert!(is_label(value), "{value}");
        }
    }

    #[test]
    fn what_people_choose_is_none_of_these() {
        for value in [
            "hunter2",
            "hunter",
            "letmein",
            "swordfish",
            "Summer2024!",
            "CorrectHorse",
            "correct-horse-battery",
            "admin/admin",
            "mypassword",
            "newpassword",
            "supersecretpassword",
            "MyPassword",
            "AdminPassword",
            "AdminPassword:",
            "#MyPassword",
            "root-password",
            "db_password",
            "super-secret-password",
            "Postgres_Password",
            "reset-my-password",
            "password.hunter",
            "password-password",
            "Password",
            "TOP_SECRET",
            "CORRECT_HORSE",
            "Password1",
            "reset_password1",
            "Password!",
            "P@ssword",
            "Pa$$word",
            "Sum!mer$Time",
            "/Summer",
            "/hunter2",
            "#Summer",
            "#1fan",
            "A_b_C",
            "QWERTYUIOP",
        ] {
            assert!(!is_label(value), "{value}");
        }
    }

    #[test]
    fn labels_in_other_languages() {
        for value in ["Пароль", r"\u5bc6\u7801", r"Contrase\u00f1a:"] {
            assert!(is_label(value), "{value}");
        }
        for value in ["Пароль1", r"Contrase\u00f1a1", r"\u5bc", r"\user"] {
            assert!(!is_label(value), "{value}");
        }
    }
}
