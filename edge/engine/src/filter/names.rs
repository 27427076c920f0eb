//! Names that give values away: what a member, a variable or an option is called.

use super::text::{Text, alnum};
use std::sync::LazyLock;

/// Longest name that is looked at, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What a name says about its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Chosen by people: may be short and of words.
    Password,
    /// The same behind a name that only ends in "pass": much else is called so, and has words as its value.
    Pass,
    /// Made by machines: long and random.
    Key,
    /// The same in a header of HTTP, where the name of a scheme may stand before it.
    Header,
    /// An AWS secret access key.
    Aws,
    /// A key in an Azure connection string.
    Azure,
    /// The password of a connection string.
    Connection,
    /// What `.npmrc` holds: a key of any form, UUIDs among them.
    Npm,
}

/// One bit for each letter of a word.
fn letters(word: &str) -> u32 {
    word.bytes().fold(0, |set, b| set | letter(b))
}

fn letter(b: u8) -> u32 {
    match b.is_ascii_alphabetic() {
        true => 1_u32.wrapping_shl(u32::from(b & 31)),
        false => 0,
    }
}

/// Words of which every name of a secret has one in it, by their letters.
static SPEAKING: LazyLock<[u32; 10]> = LazyLock::new(|| {
    let words = [
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "credential",
        "authorization",
        "bearer",
        "kennwort",
        "contrasena",
    ];
    words.map(letters)
});

/// Whether a name has the letters of one of these words. Most that stand before a sign have not, and are known by it.
fn may_speak(name: &str) -> bool {
    let set = letters(name);
    SPEAKING.iter().any(|word| set & word == *word)
}

/// What a name says, if it speaks of a secret.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    if name.len() < 3 || name.len() > NAME_BYTES_MAX || !may_speak(name) {
        return None;
    }
    let mut plain = [0_u8; NAME_BYTES_MAX];
    let mut length = 0_usize;
    for b in name.bytes().filter(|b| alnum(*b)) {
        if let Some(slot) = plain.get_mut(length) {
            *slot = b.to_ascii_lowercase();
            length = length.saturating_add(1);
        }
    }
    let plain = plain
        .get(..length)
        .and_then(|plain| std::str::from_utf8(plain).ok())?;
    if name == "_authToken" {
        return Some(Kind::Npm);
    }
    let ends = |words: &[&str]| words.iter().any(|word| plain.ends_with(word));
    let has = |words: &[&str]| words.iter().any(|word| plain.contains(word));
    if plain == "accountkey" || plain == "sharedaccesskey" {
        return Some(Kind::Azure);
    }
    if plain.len() >= "awssecret".len() && has(&["awssecret", "secretaccesskey"]) {
        return Some(Kind::Aws);
    }
    if plain == "pwd" {
        return Some(Kind::Connection);
    }
    if ends(&[
        "password",
        "passwd",
        "passphrase",
        "passwort",
        "motdepasse",
        "kennwort",
        "contrasena",
        "userpass",
        "dbpass",
        "pwd",
    ]) || plain == "pass"
        || is_numbered(plain)
    {
        return Some(Kind::Password);
    }
    if ends_in_pass(name) {
        return Some(Kind::Pass);
    }
    let key = ends(&[
        "secret",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "authkey",
        "signingkey",
        "encryptionkey",
        "masterkey",
        "token",
        "credential",
        "credentials",
        "authorization",
        "bearer",
        "clientsecret",
        "appkey",
        "servicekey",
        "sessionkey",
        "hmackey",
        "sharedkey",
        "webhooksecret",
        "authtoken",
        "accountkey",
        "apitoken",
        "subscriptionkey",
        "licensekey",
        "deploykey",
        "ssecret",
        "secretvalue",
        "keysecret",
        "xapikey",
        "hashkey",
        "cookiesecret",
        "apisecret",
        "privkey",
    ]);
    let about = || {
        has(&[
            "keyid",
            "tokentype",
            "tokenid",
            "tokens",
            "publickey",
            "secretname",
            "keyname",
            "secretsmanager",
        ])
    };
    let kind = match plain.ends_with("authorization") {
        true => Kind::Header,
        false => Kind::Key,
    };
    (key && plain.len() < 48 && !about() && !is_position(plain)).then_some(kind)
}

/// What says where to go on in a list, a log or a task. Whoever has it can do nothing with it. A previous token is none: it
/// may be that before a rotation, and is valid still; and `CURSOR_TOKEN` is that of an editor.
const POSITIONS: [&str; 22] = [
    "backwardtoken",
    "canceltoken",
    "checkpointtoken",
    "continuationtoken",
    "continuetoken",
    "deltatoken",
    "forwardtoken",
    "iteratortoken",
    "nextcursortoken",
    "nexttoken",
    "offsettoken",
    "pagetoken",
    "paginationtoken",
    "pagingtoken",
    "previouscursortoken",
    "progresstoken",
    "resumetoken",
    "scrolltoken",
    "sequencetoken",
    "skiptoken",
    "startingtoken",
    "synctoken",
];

/// Whether a name in small letters and digits alone ends in one of [`POSITIONS`].
pub(super) fn is_position(plain: &str) -> bool {
    POSITIONS.iter().any(|position| plain.ends_with(position))
}

/// What is called a pass and is none.
const PASSES: [&str; 20] = [
    "all", "band", "boarding", "by", "depth", "first", "forward", "high", "last", "light", "low",
    "must", "one", "post", "pre", "render", "season", "second", "shader", "shadow",
];

/// `SMTP_PASS`, `emailPass`: its last part is that word.
fn ends_in_pass(name: &str) -> bool {
    let Some((front, last)) = name
        .len()
        .checked_sub(4)
        .and_then(|at| name.split_at_checked(at))
    else {
        return false;
    };
    let hump = last == "Pass" && front.ends_with(|c: char| c.is_ascii_lowercase());
    let front = front.trim_end_matches(['_', '-', '.']);
    let parted = front.len().saturating_add(4) < name.len();
    let of_what = front.rsplit(['_', '-', '.']).next().unwrap_or(front);
    // `mainRender`: its last word.
    let last_hump = of_what.rfind(|c: char| c.is_ascii_uppercase());
    let last_word = last_hump.and_then(|at| of_what.get(at..));
    let is_other = |word: &str| PASSES.iter().any(|other| word.eq_ignore_ascii_case(other));
    last.eq_ignore_ascii_case("pass")
        && (hump || parted)
        && !front.is_empty()
        && !is_other(of_what)
        && !last_word.is_some_and(is_other)
}

/// `password1`, `db_password_prod`: which of several it is.
fn is_numbered(plain: &str) -> bool {
    let which = [
        "prod",
        "production",
        "dev",
        "test",
        "staging",
        "stage",
        "qa",
        "uat",
        "live",
        "local",
        "old",
        "new",
        "admin",
        "root",
        "db",
        "user",
        "main",
        "backup",
    ];
    let is_password = |name: &str| {
        let words = ["password", "passwd", "pwd"];
        words.iter().any(|word| name.ends_with(word))
    };
    let bare = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = plain.len().saturating_sub(bare.len());
    let mut shorter = which.iter().filter_map(|which| plain.strip_suffix(which));
    ((1..=3).contains(&digits) && is_password(bare)) || shorter.any(is_password)
}

/// The name that ends at `end`, and where it begins.
pub(super) fn name_before(text: Text<'_>, end: usize) -> (usize, &str) {
    let start = text.run_back(end, 48, |b| alnum(b) || matches!(b, b'_' | b'-' | b'.'));
    (start, text.slice(start, end))
}

/// Whether a name is that of a variable of the environment: `DB_PASSWORD`.
pub(super) fn is_variable(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_others() {
        for name in [
            "password",
            "db_password_prod",
            "password12",
            "SMTP_PASS",
            "email-pass",
            "mysqlPass",
            "pass",
            "user_pwd",
            "Kennwort",
            "contrasena",
            "mot_de_passe",
            "client-secret",
            "APIKey",
            "x-api-key",
            "accessToken",
            "credentials",
            "Authorization",
            "bearer",
            "AWS_SECRET_ACCESS_KEY",
            "privKey",
            "PREVIOUS_TOKEN",
            "previousToken",
            "CURSOR_TOKEN",
        ] {
            assert!(kind_of(name).is_some(), "{name}");
        }
        for name in [
            "id",
            "title",
            "parent",
            "description",
            "passwords",
            "password1234",
            "password_policy",
            "compass",
            "bypass",
            "render_pass",
            "boardingPass",
            "byPass",
            "low_pass",
            "mainRenderPass",
            "token_type",
            "public_key",
            "next_token",
            "skiptoken",
            "deltaToken",
            "nextForwardToken",
            "nextBackwardToken",
            "previousPageToken",
            "nextCursorToken",
            "uploadSequenceToken",
            "starting-token",
            "keyboard",
        ] {
            assert!(kind_of(name).is_none(), "{name}");
        }
        assert!(is_variable("DB_PASSWORD2") && !is_variable("DbPassword"));
    }
}
