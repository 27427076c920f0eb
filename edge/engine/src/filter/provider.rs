//! Keys whose form says who issued them.

use super::pem::Margin;
use super::text::{Text, alnum, entropy};
use super::{aws, azure, parted, vendor};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem::Finder;
use proctor_model::content::{Confidence, ContentClass as Class};
use std::sync::LazyLock;

/// A condition on what stands at a range, and the range where it is another.
pub(super) type Also = fn(Text<'_>, usize, usize) -> Option<(usize, usize)>;

/// What follows a literal that a provider's keys have in them.
pub(super) struct Form {
    pub(super) literal: &'static str,
    pub(super) class: Class,
    /// Bytes of it that stand before the literal; `also` looks at them.
    pub(super) head: usize,
    /// The characters behind the literal.
    pub(super) of: fn(u8) -> bool,
    /// Least and most of them.
    pub(super) least: usize,
    pub(super) most: usize,
    /// Further conditions on the whole, and the range where it is not literal and run.
    pub(super) also: Option<Also>,
}

pub(super) fn word(b: u8) -> bool {
    alnum(b) || b == b'_'
}

pub(super) fn dashed(b: u8) -> bool {
    alnum(b) || b == b'_' || b == b'-'
}

pub(super) fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

pub(super) fn lower(b: u8) -> bool {
    b.is_ascii_digit() || b.is_ascii_lowercase()
}

pub(super) fn lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

fn hex(b: u8) -> bool {
    b.is_ascii_hexdigit()
}

fn hex_or_lower(b: u8) -> bool {
    hex(b) || lower(b)
}

pub(super) fn dotted(b: u8) -> bool {
    dashed(b) || b == b'.'
}

/// Of one letter again and again is what documentation puts in place of a key; but who knows.
fn sure(text: Text<'_>, start: usize, end: usize) -> Confidence {
    let tail = text.bytes(end.saturating_sub(16).max(start), end);
    match entropy(tail) >= 2.2 {
        true => Confidence::High,
        false => Confidence::Medium,
    }
}

pub(super) const fn form(
    literal: &'static str,
    class: Class,
    of: fn(u8) -> bool,
    least: usize,
    most: usize,
) -> Form {
    Form {
        literal,
        class,
        head: 0,
        of,
        least,
        most,
        also: None,
    }
}

const LONG: usize = 512;

const FORMS: &[Form] = &[
    form("AKIA", Class::AwsKey, upper, 16, 16),
    form("ASIA", Class::AwsKey, upper, 16, 16),
    form("ABIA", Class::AwsKey, upper, 16, 16),
    form("ACCA", Class::AwsKey, upper, 16, 16),
    form("AROA", Class::AwsKey, upper, 16, 17),
    form("AIDA", Class::AwsKey, upper, 16, 17),
    form("A3T", Class::AwsKey, upper, 17, 17),
    // Bedrock's, for long: `BedrockAPIKey-` in base64 behind the first four letters. Those alone are met in base64 of
    // anything, so that without the rest of it nothing of the kind may stand before them.
    form("ABSKQmVkcm9ja0FQSUtleS", Class::AwsKey, base64, 60, LONG),
    Form {
        also: Some(unglued),
        ..form("ABSK", Class::AwsKey, base64, 100, LONG)
    },
    form("bedrock-api-key-", Class::AwsKey, base64, 20, LONG),
    // Session tokens.
    form("IQoJb3JpZ2lu", Class::AwsKey, base64, 100, 4096),
    form("FwoGZXIvYXdz", Class::AwsKey, base64, 100, 4096),
    Form {
        also: Some(unglued),
        ..form("1//0", Class::GcpKey, dashed, 35, LONG)
    },
    form("AQ.Ab", Class::GcpKey, dashed, 40, 80),
    form("AIza", Class::GcpKey, dashed, 35, 35),
    form("GOCSPX-", Class::GcpKey, dashed, 28, 28),
    form("ya29.", Class::GcpKey, dotted, 20, 2048),
    form("ghp_", Class::GithubToken, alnum, 36, 255),
    form("gho_", Class::GithubToken, alnum, 36, 255),
    form("ghu_", Class::GithubToken, alnum, 36, 255),
    form("ghs_", Class::GithubToken, alnum, 36, 255),
    form("ghr_", Class::GithubToken, alnum, 36, 255),
    form("github_pat_", Class::GithubToken, word, 36, 255),
    form("glpat-", Class::GitlabToken, dotted, 20, LONG),
    form("gldt-", Class::GitlabToken, dashed, 20, LONG),
    form("glrt-", Class::GitlabToken, dotted, 20, LONG),
    form("glft-", Class::GitlabToken, dashed, 20, LONG),
    form("glsoat-", Class::GitlabToken, dashed, 20, LONG),
    form("glimt-", Class::GitlabToken, dashed, 20, LONG),
    form("glagent-", Class::GitlabToken, dashed, 20, LONG),
    form("glptt-", Class::GitlabToken, dashed, 20, LONG),
    form("glcbt-", Class::GitlabToken, dashed, 20, LONG),
    form("gloas-", Class::GitlabToken, dashed, 20, LONG),
    form("glrtr-", Class::GitlabToken, dotted, 20, LONG),
    form("glffct-", Class::GitlabToken, dashed, 20, LONG),
    form("glwt-", Class::GitlabToken, dashed, 20, LONG),
    Form {
        also: Some(session),
        ..form("_gitlab_session", Class::GitlabToken, cookie, 33, 33)
    },
    form("GR1348941", Class::GitlabToken, dashed, 20, 20),
    form("xoxb-", Class::SlackToken, dashed, 10, LONG),
    form("xoxa-", Class::SlackToken, dashed, 10, LONG),
    form("xoxp-", Class::SlackToken, dashed, 10, LONG),
    form("xoxr-", Class::SlackToken, dashed, 10, LONG),
    form("xoxs-", Class::SlackToken, dashed, 10, LONG),
    form("xoxo-", Class::SlackToken, dashed, 10, LONG),
    form("xoxc-", Class::SlackToken, dashed, 10, LONG),
    form("xoxd-", Class::SlackToken, escaped, 20, LONG),
    form("xwfp-", Class::SlackToken, dashed, 10, LONG),
    form("xoxe", Class::SlackToken, dotted, 20, LONG),
    form("xapp-", Class::SlackToken, dashed, 20, LONG),
    Form {
        also: Some(webhook),
        ..form("hooks.slack.com/", Class::SlackToken, path, 30, 256)
    },
    Form {
        also: Some(webhook),
        ..form("hooks.slack-gov.com/", Class::SlackToken, path, 30, 256)
    },
    Form {
        also: Some(stripe),
        ..form("sk_live_", Class::StripeKey, alnum, 10, 255)
    },
    Form {
        also: Some(stripe),
        ..form("sk_test_", Class::StripeKey, alnum, 10, 255)
    },
    Form {
        also: Some(stripe),
        ..form("sk_prod_", Class::StripeKey, alnum, 10, 255)
    },
    Form {
        also: Some(stripe),
        ..form("sk_org_", Class::StripeKey, alnum, 10, 255)
    },
    Form {
        also: Some(stripe),
        ..form("rk_live_", Class::StripeKey, alnum, 10, 255)
    },
    Form {
        also: Some(stripe),
        ..form("rk_test_", Class::StripeKey, alnum, 10, 255)
    },
    Form {
        also: Some(stripe),
        ..form("rk_prod_", Class::StripeKey, alnum, 10, 255)
    },
    form("whsec_", Class::StripeKey, base64, 24, 255),
    form("sk-ant-", Class::AnthropicKey, dashed, 24, 255),
    form("sk-proj-", Class::OpenaiKey, dashed, 24, 255),
    form("sk-svcacct-", Class::OpenaiKey, dashed, 24, 255),
    form("sk-admin-", Class::OpenaiKey, dashed, 24, 255),
    Form {
        also: Some(openai),
        ..form("sk-", Class::OpenaiKey, dashed, 32, 255)
    },
    form("AC", Class::TwilioKey, lower, 32, 32),
    form("SK", Class::TwilioKey, hex_or_lower, 32, 32),
    Form {
        also: Some(sendgrid),
        ..form("SG.", Class::SendgridKey, dotted, 60, 80)
    },
    form("npm_", Class::NpmToken, alnum, 36, 36),
    form("pypi-AgE", Class::PypiToken, dashed, 50, 1024),
    form("hf_", Class::HuggingfaceToken, alnum, 30, 60),
    form("api_org_", Class::HuggingfaceToken, alnum, 30, 60),
    Form {
        also: Some(jwt),
        ..form("ey", Class::Jwt, dashed, 14, 4096)
    },
    Form {
        also: Some(jwt),
        ..form("ewo", Class::Jwt, dashed, 13, 4096)
    },
    Form {
        head: 4,
        also: Some(azure),
        ..form("Q~", Class::AzureKey, azure_tail, 31, 34)
    },
    form("AZURE_STORAGE_KEY", Class::AzureKey, base64, 80, 100),
    // No class of their own: keys of other services that can be told by their form.
    form("sq0csp-", Class::GenericSecret, dashed, 43, 43),
    form("sq0atp-", Class::GenericSecret, dashed, 22, 22),
    form("dop_v1_", Class::GenericSecret, lower_hex, 64, 64),
    form("shpat_", Class::GenericSecret, hex, 32, 32),
    form("AKC", Class::GenericSecret, alnum, 10, 80),
    form("pul-", Class::GenericSecret, lower_hex, 40, 40),
    form("dckr_pat_", Class::GenericSecret, dashed, 27, 27),
    form("NRAK-", Class::GenericSecret, alnum, 27, 27),
    form("PMAK-", Class::GenericSecret, dashed, 59, 59),
    form("lin_api_", Class::GenericSecret, alnum, 40, 40),
    form("AGE-SECRET-KEY-1", Class::GenericSecret, upper, 58, 58),
    form("hvs.", Class::GenericSecret, dashed, 24, 200),
    form("xai-", Class::GenericSecret, dashed, 70, 90),
    form("gsk_", Class::GenericSecret, alnum, 52, 52),
    form("pct_", Class::GenericSecret, dashed, 80, 8192),
];

pub(super) fn base64(b: u8) -> bool {
    alnum(b) || matches!(b, b'+' | b'/' | b'=')
}

pub(super) fn path(b: u8) -> bool {
    dashed(b) || b == b'/'
}

pub(super) fn alnum_or_dot(b: u8) -> bool {
    alnum(b) || b == b'.'
}

fn azure_tail(b: u8) -> bool {
    dotted(b) || b == b'~'
}

/// As it stands in a cookie: percent-encoded.
fn escaped(b: u8) -> bool {
    dashed(b) || base64(b) || b == b'%'
}

fn cookie(b: u8) -> bool {
    lower(b) || b == b'='
}

/// With no letter and no digit before it: amid base64 that is where its beginning is met by chance.
fn unglued(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    (!alnum(text.before(start))).then_some((start, end))
}

/// `_gitlab_session=` and 32 characters.
fn session(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let value = text.slice(start, end).strip_prefix("_gitlab_session=")?;
    value.bytes().all(lower).then_some((start, end))
}

/// Short ones have digits and letters: `sk_test_placeholder` is none.
fn stripe(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let body = text.slice(start, end).rsplit('_').next()?;
    let mixed =
        body.bytes().any(|b| b.is_ascii_digit()) && body.bytes().any(|b| b.is_ascii_alphabetic());
    (mixed || body.len() >= 16).then_some((start, end))
}

fn webhook(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let path = text.slice(start, end);
    let secret = ["/services/T", "/workflows/", "/triggers/"]
        .iter()
        .any(|part| path.contains(part));
    secret.then_some((start, end))
}

/// `sk-` and letters alone is a word like `sk-learn`: the part behind the last dash has to look random.
fn openai(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let written = text.slice(start, end);
    let others = ["sk-ant-", "sk-or-v1-", "sk-lf-"];
    if others.iter().any(|other| written.starts_with(other)) {
        return None;
    }
    let tail = written.rsplit('-').next().unwrap_or_default();
    let mixed =
        tail.bytes().any(|b| b.is_ascii_digit()) && tail.bytes().any(|b| b.is_ascii_alphabetic());
    (tail.len() >= 20 && mixed && entropy(tail.as_bytes()) >= 3.0).then_some((start, end))
}

fn sendgrid(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let mut parts = text.slice(start, end).split('.').skip(1);
    let (first, second) = (parts.next()?, parts.next()?);
    ((16..=32).contains(&first.len()) && (38..=48).contains(&second.len())).then_some((start, end))
}

/// Three characters, a digit, `Q~`: a client secret of Entra.
fn azure(text: Text<'_>, literal: usize, end: usize) -> Option<(usize, usize)> {
    let start = literal.checked_sub(4)?;
    let head = text.bytes(start, literal);
    (head.len() == 4 && head.last()?.is_ascii_digit() && head.iter().all(|b| azure_tail(*b)))
        .then_some((start, end))
}

/// Longest part of a JSON Web Token, in bytes.
const JWT_PART_BYTES_MAX: usize = 8 * 1024;

/// Two parts of which each begins as a JSON object does in base64url, and a signature.
fn jwt(text: Text<'_>, start: usize, header: usize) -> Option<(usize, usize)> {
    let part = |end: usize| {
        let from = end.saturating_add(1);
        (text.at(end) == b'.').then(|| (from, text.run(from, JWT_PART_BYTES_MAX, dashed)))
    };
    let (from, payload) = part(header)?;
    let object = matches!(text.bytes(from, from.saturating_add(2)), b"ey" | b"ew");
    if object && payload.saturating_sub(from) >= 8 {
        let end = part(payload).map_or(payload, |(_, signature)| signature);
        return Some((start, end));
    }
    // An encrypted one has five parts, and says so in the first; the second may be empty.
    let written = text.slice(start, header);
    let encrypted = ENC.iter().any(|enc| written.contains(enc));
    let (_, end) = part(payload).filter(|_| encrypted)?;
    let (_, end) = part(end)?;
    let (_, end) = part(end)?;
    Some((start, end))
}

/// `"enc":` in base64, by the place where it begins.
const ENC: [&str; 3] = ["ImVuYyI6", "JlbmMiO", "iZW5jIj"];

/// Bytes that are read behind literals in any run, before its length counts.
const WORK_LEAST: usize = 64 * 1024;

/// All forms, in the order of [`LITERALS`].
static ALL: LazyLock<Vec<&'static Form>> = LazyLock::new(|| {
    let vendors = vendor::KEYS
        .iter()
        .chain(parted::FORMS)
        .chain(azure::MARKED);
    FORMS.iter().chain(vendors).collect()
});

static LITERALS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        // Of so many literals it would be a slower automaton, to save memory.
        .kind(Some(AhoCorasickKind::DFA))
        .build(ALL.iter().map(|form| form.literal))
        .ok()
});

/// Keys in a run of characters that tokens are made of.
pub(super) fn keys(
    text: Text<'_>,
    start: usize,
    end: usize,
    found: &mut dyn FnMut(usize, usize, Class, Confidence),
) {
    let Some(literals) = &*LITERALS else { return };
    let mut after = start;
    // A run full of beginnings of keys is not read again and again: it is taken for one.
    let mut room = end
        .saturating_sub(start)
        .saturating_mul(16)
        .saturating_add(WORK_LEAST);
    for hit in literals.find_overlapping_iter(text.bytes(start, end)) {
        let from = start.saturating_add(hit.start());
        let Some(form) = ALL.get(hit.pattern().as_usize()) else {
            continue;
        };
        let glued = alnum(text.before(from)) && form.head == 0;
        let may_begin = !glued || may_be_glued(text, from, form);
        if from < after || !may_begin || is_encoded(text, from, form) {
            continue;
        }
        let body = start.saturating_add(hit.end());
        let stop = text.run(body, form.most.saturating_add(1), form.of);
        let length = stop.saturating_sub(body);
        room = room.saturating_sub(length);
        if room == 0 {
            return found(start, end, Class::GenericSecret, Confidence::High);
        }
        // One character more than can be is not cut off: it is something else.
        let longer = length > form.most && form.most < LONG;
        if length < form.least || longer {
            continue;
        }
        if glued && !is_random(text.bytes(body, stop)) {
            continue;
        }
        // A key at the end of a sentence.
        let trimmed = text.run_back(stop, 3, |b| matches!(b, b'.' | b'-'));
        let stop = if text.at(stop.saturating_sub(1)) == b'.' {
            trimmed
        } else {
            stop
        };
        let range = match form.also {
            Some(also) => also(text, from, stop),
            None => Some((from, stop)),
        };
        if let Some((from, to)) = range {
            found(from, to, form.class, sure(text, from, to));
            after = to;
            if matches!(form.literal, "AKIA" | "ASIA")
                && let Some((from, to)) = aws::beside(text, to)
            {
                found(from, to, Class::AwsKey, Confidence::High);
            }
        }
    }
}

/// Whether a letter before the beginning of a key may have nothing to do with it. Words end as the shortest ones begin
/// (`task-`, `MSG.`), and what a JSON Web Token begins with is met in any base64 of JSON.
fn may_be_glued(text: Text<'_>, from: usize, form: &Form) -> bool {
    match form.class {
        Class::Jwt => {
            let letters = from.saturating_sub(text.run_back(from, GLUED_MAX, alnum));
            letters < GLUED_MAX
        }
        // Of so many vendors' short beginnings, one is met in any long run of letters.
        Class::GenericSecret => false,
        _ => form.literal.len() >= 4,
    }
}

/// So many characters of base64 around a place are a picture or the like, and no path.
const ENCODED: usize = 100;

/// Whether the sign before the beginning of a key is a letter of base64, and no boundary: in a picture every short
/// beginning stands behind one somewhere. Not where a picture would hardly go on as the key does: with the dots of a JSON
/// Web Token, or in capitals or small letters alone. Those stand in long paths.
fn is_encoded(text: Text<'_>, from: usize, form: &Form) -> bool {
    let sign = matches!(text.before(from), b'/' | b'+');
    let any_letters = (form.of)(b'Z') && (form.of)(b'z');
    let unlikely = form.class == Class::Jwt || !any_letters;
    if !sign || unlikely || form.head > 0 || !form.literal.bytes().all(base64) {
        return false;
    }
    let start = text.run_back(from, ENCODED, base64);
    let end = text.run(from, ENCODED, base64);
    end.saturating_sub(start) >= ENCODED
}

/// Letters in front of a token that are not those of a run which it stands in by chance.
const GLUED_MAX: usize = 8;

/// Whether characters are hardly a word or a name: the part behind a beginning that a word ends in.
fn is_random(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_digit)
        && body.iter().any(u8::is_ascii_alphabetic)
        && entropy(body) >= 3.0
}

/// Where private keys of other programs begin, and what their last line begins with.
pub(super) const ARMOURS: [(&str, &str); 2] = [
    (
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY",
        "---- END SSH2 ENCRYPTED PRIVATE KEY",
    ),
    ("PuTTY-User-Key-File-", "Private-MAC:"),
];

/// How far the last line is looked for, in bytes.
const ARMOUR_BYTES_MAX: usize = 16 * 1024;

/// Hexadecimal digits behind the last line's name, where that name is no comment's.
const MAC_DIGITS_MIN: usize = 32;

/// The private key of another program that begins at `start`, whose first line begins with what `first` finds, and whose last line
/// begins with `last`.
pub(super) fn armoured(
    text: Text<'_>,
    start: usize,
    first: &Finder<'_>,
    last: &str,
) -> Option<usize> {
    let rest = text.from(start);
    let begins = |key: &str| !key.starts_with("PuTTY") || key.as_bytes().get(21) == Some(&b':');
    if !begins(rest) {
        return None;
    }
    let near = rest.get(..rest.floor_char_boundary(ARMOUR_BYTES_MAX))?;
    // Up to the next first line, which is looked at by itself: nothing is read twice.
    let mut others = first.find_iter(near.as_bytes()).skip(1);
    let next = others.find(|at| near.get(*at..).is_some_and(begins));
    let near = near.get(..next.unwrap_or(near.len()))?;
    let inside = |b: u8| b.is_ascii_hexdigit() || matches!(b, b' ' | b'-');
    let armour = |b: u8| {
        alnum(b) || b.is_ascii_whitespace() || matches!(b, b'+' | b'/' | b'=' | b'-' | b':' | b'@')
    };
    let margin = Margin::of("", text.text, start);
    Some(
        match last_line(near, last, &margin).or_else(|| only(near, last)) {
            Some(at) => {
                let from = start.saturating_add(at).saturating_add(last.len());
                text.run(from, 66, inside)
            }
            // Without its end: as far as a key may go, behind what may be in a comment, too.
            None => {
                let from = start.saturating_add(near.find(last).unwrap_or_default());
                let end = text.run(from, ARMOUR_BYTES_MAX, armour);
                end.min(start.saturating_add(near.len()))
            }
        },
    )
}

/// Where the last line of a key begins that has another margin: the only one, with the code that only that has.
fn only(key: &str, last: &str) -> Option<usize> {
    let at = key.find(last)?;
    let behind = key.get(at.saturating_add(last.len())..)?;
    let code = behind.trim_start().bytes();
    let digits = code.take_while(u8::is_ascii_hexdigit).count();
    (digits >= MAC_DIGITS_MIN && !behind.contains(last)).then_some(at)
}

/// Where the last line of a key begins that has this margin. What it begins with may stand in a comment as well.
pub(super) fn last_line(key: &str, last: &str, margin: &Margin) -> Option<usize> {
    let mut lines = key.match_indices(last).map(|(at, _)| at);
    lines.find(|at| margin.begins_line(key.get(..*at).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(text: &str) -> Vec<Class> {
        let mut found = Vec::new();
        let text_ = Text { text, key: "" };
        keys(text_, 0, text.len(), &mut |_, _, class, _| {
            found.push(class)
        });
        found
    }

    #[test]
    fn forms_of_providers_are_told_apart() {
        // Made up here; each has the form that its provider documents.
        let tail = |n: usize| {
            "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2"[..n].to_owned()
        };
        for (text, class) in [
            (format!("AKIA{}", "QWERTYUIOP234567"), Class::AwsKey),
            (format!("AIza{}", tail(35)), Class::GcpKey),
            (format!("ghp_{}", tail(36)), Class::GithubToken),
            (format!("glpat-{}", tail(20)), Class::GitlabToken),
            (format!("xoxb-12345678901-{}", tail(24)), Class::SlackToken),
            (format!("sk_live_{}", tail(24)), Class::StripeKey),
            (format!("sk-ant-api03-{}", tail(60)), Class::AnthropicKey),
            (format!("sk-proj-{}", tail(48)), Class::OpenaiKey),
            (format!("sk-{}", tail(48)), Class::OpenaiKey),
            (format!("SG.{}.{}", tail(22), tail(43)), Class::SendgridKey),
            (format!("npm_{}", tail(36)), Class::NpmToken),
            (format!("hf_{}", tail(34)), Class::HuggingfaceToken),
            (format!("abc8Q~{}", tail(34)), Class::AzureKey),
        ] {
            assert_eq!(classes(&text), [class], "{text}");
            assert_eq!(classes(&format!("key_{text}")).len(), 1, "{text}");
            // Words may end like these.
            let short = ["sk-a1", "SG.", "hf_"];
            let is_short = short.iter().any(|start| text.starts_with(start));
            let glued = classes(&format!("x{text}"));
            match is_short {
                true => assert!(glued.is_empty(), "{text}"),
                false => assert_eq!(glued, [class], "{text}"),
            }
        }
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";
        assert_eq!(classes(&format!("x{token}")), [Class::Jwt]);
        assert!(classes(&format!("aGVsbG8gd29ybGQ{token}")).is_empty());
        // In a picture a sign is a letter.
        let picture = "aB3d/".repeat(20);
        for key in [format!("AKC{}", tail(20)), format!("1//0{}", tail(35))] {
            assert_eq!(classes(&format!("path/{key}")).len(), 1, "{key}");
            assert!(classes(&format!("{picture}{key}/")).is_empty(), "{key}");
            assert!(classes(&format!("aB/{key}/{picture}")).is_empty(), "{key}");
        }
        // Glued to letters, it is one by chance; the whole beginning of Bedrock's is none.
        let random = tail(64) + &tail(50);
        for key in [format!("ABSK{random}"), format!("1//0{}", tail(35))] {
            for no in [format!("aB3d{key}"), format!("{picture}aB3{key}")] {
                assert!(classes(&no).is_empty(), "{no}");
            }
            assert_eq!(classes(&format!("key={key}")).len(), 1, "{key}");
        }
        for key in [tail(62), random] {
            let key = format!("ABSKQmVkcm9ja0FQSUtleS{key}==");
            assert_eq!(classes(&key), [Class::AwsKey], "{key}");
            assert_eq!(classes(&format!("x{key}")), [Class::AwsKey], "{key}");
        }
        let key = format!("{picture}ghp_{}", tail(36));
        assert_eq!(classes(&key), [Class::GithubToken]);
        // What goes on as no picture does is found in long paths.
        assert_eq!(classes(&format!("{picture}{token}")), [Class::Jwt]);
        let account = "AC9f8e7d6c5b4a39281706e5d4c3b2a1f0/Messages";
        let path = format!("{picture}Accounts/{account}");
        assert_eq!(classes(&path), [Class::TwilioKey]);
        let mut sure = None;
        let text = "AKIAXXXXXXXXXXXXXXXX";
        keys(
            Text { text, key: "" },
            0,
            text.len(),
            &mut |_, _, _, found| sure = Some(found),
        );
        assert_eq!(sure, Some(Confidence::Medium));
        for no in [
            "sk-learn-is-a-library-for-machine-learning",
            "ghp_short",
            "eyJhbGciOi",
            "task_test_configurationmanager",
            "a_subglpat-implementation-of-something",
        ] {
            assert!(classes(no).is_empty(), "{no}");
        }
    }
}
