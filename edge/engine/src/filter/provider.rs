//! Keys whose form says who issued them.

use super::text::{Text, alnum, entropy};
use aho_corasick::{AhoCorasick, MatchKind};
use proctor_model::content::{Confidence, ContentClass as Class};
use std::sync::LazyLock;

/// A condition on what stands at a range, and the range where it is another.
type Also = fn(Text<'_>, usize, usize) -> Option<(usize, usize)>;

/// What follows a literal that a provider's keys have in them.
struct Form {
    literal: &'static str,
    class: Class,
    /// The characters behind the literal.
    of: fn(u8) -> bool,
    /// Least and most of them.
    least: usize,
    most: usize,
    /// Further conditions on the whole, and the range where it is not literal and run.
    also: Option<Also>,
}

fn word(b: u8) -> bool {
    alnum(b) || b == b'_'
}

fn dashed(b: u8) -> bool {
    alnum(b) || b == b'_' || b == b'-'
}

fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

fn lower(b: u8) -> bool {
    b.is_ascii_digit() || b.is_ascii_lowercase()
}

fn lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

fn dotted(b: u8) -> bool {
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

const fn form(
    literal: &'static str,
    class: Class,
    of: fn(u8) -> bool,
    least: usize,
    most: usize,
) -> Form {
    Form {
        literal,
        class,
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
    form("GR1348941", Class::GitlabToken, dashed, 20, 20),
    form("xoxb-", Class::SlackToken, dashed, 10, LONG),
    form("xoxa-", Class::SlackToken, dashed, 10, LONG),
    form("xoxp-", Class::SlackToken, dashed, 10, LONG),
    form("xoxr-", Class::SlackToken, dashed, 10, LONG),
    form("xoxs-", Class::SlackToken, dashed, 10, LONG),
    form("xoxo-", Class::SlackToken, dashed, 10, LONG),
    form("xoxe", Class::SlackToken, dotted, 20, LONG),
    form("xapp-", Class::SlackToken, dashed, 20, LONG),
    Form {
        also: Some(webhook),
        ..form("hooks.slack.com/", Class::SlackToken, path, 30, 256)
    },
    form("sk_live_", Class::StripeKey, alnum, 16, 255),
    form("sk_test_", Class::StripeKey, alnum, 16, 255),
    form("rk_live_", Class::StripeKey, alnum, 16, 255),
    form("rk_test_", Class::StripeKey, alnum, 16, 255),
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
    form("SK", Class::TwilioKey, lower, 32, 32),
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
        ..form("eyJ", Class::Jwt, dashed, 13, 4096)
    },
    Form {
        also: Some(azure),
        ..form("Q~", Class::AzureKey, azure_tail, 31, 34)
    },
    form("AZURE_STORAGE_KEY", Class::AzureKey, base64, 80, 100),
    // No class of their own: keys of other services that can be told by their form.
    form("sq0csp-", Class::GenericSecret, dashed, 43, 43),
    form("sq0atp-", Class::GenericSecret, dashed, 22, 22),
    form("dop_v1_", Class::GenericSecret, lower_hex, 64, 64),
    form("shpat_", Class::GenericSecret, lower_hex, 32, 32),
    form("AKC", Class::GenericSecret, alnum, 10, 80),
    form("pul-", Class::GenericSecret, lower_hex, 40, 40),
    form("dckr_pat_", Class::GenericSecret, dashed, 27, 27),
    form("NRAK-", Class::GenericSecret, upper, 27, 27),
    form("PMAK-", Class::GenericSecret, dashed, 59, 59),
    form("lin_api_", Class::GenericSecret, alnum, 40, 40),
    form("AGE-SECRET-KEY-1", Class::GenericSecret, upper, 58, 58),
    form("hvs.", Class::GenericSecret, dashed, 24, 200),
    form("xai-", Class::GenericSecret, alnum, 70, 90),
    form("gsk_", Class::GenericSecret, alnum, 52, 52),
    form("pct_", Class::GenericSecret, dashed, 80, 8192),
];

fn base64(b: u8) -> bool {
    alnum(b) || matches!(b, b'+' | b'/' | b'=')
}

fn path(b: u8) -> bool {
    dashed(b) || b == b'/'
}

fn azure_tail(b: u8) -> bool {
    dotted(b) || b == b'~'
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
    if written.starts_with("sk-ant-") {
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
    let plausible = text.from(from).starts_with("ey") && payload.saturating_sub(from) >= 8;
    let end = part(payload).map_or(payload, |(_, signature)| signature);
    plausible.then_some((start, end))
}

/// Bytes that are read behind literals in any run, before its length counts.
const WORK_LEAST: usize = 64 * 1024;

static LITERALS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .build(FORMS.iter().map(|form| form.literal))
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
        let Some(form) = FORMS.get(hit.pattern().as_usize()) else {
            continue;
        };
        let glued = alnum(text.before(from)) && form.class != Class::AzureKey;
        if from < after || (glued && !may_be_glued(text, from, form)) {
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
        _ => form.literal.len() >= 4,
    }
}

/// Letters in front of a token that are not those of a run which it stands in by chance.
const GLUED_MAX: usize = 8;

/// Whether characters are hardly a word or a name: the part behind a beginning that a word ends in.
fn is_random(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_digit)
        && body.iter().any(u8::is_ascii_alphabetic)
        && entropy(body) >= 3.0
}

/// How far its end is looked for, in bytes: four times the longest RSA key.
const PEM_BYTES_MAX: usize = 64 * 1024;

/// The private key whose armour begins at `start`. One whose end is missing goes as far as characters of its kind do.
pub(super) fn pem(text: Text<'_>, start: usize) -> Option<usize> {
    let head = text.slice(
        start,
        text.from(start)
            .floor_char_boundary(96)
            .saturating_add(start),
    );
    let name = head.strip_prefix("-----BEGIN ")?;
    let name = name.get(..name.find("-----")?)?;
    if !name.ends_with("PRIVATE KEY") && name != "PGP PRIVATE KEY BLOCK" {
        return None;
    }
    let near = text.from(start);
    let near = near.get(..near.floor_char_boundary(PEM_BYTES_MAX))?;
    let end = near.find("-----END ").and_then(|at| {
        let behind = near.get(at.saturating_add(9)..)?;
        let dashes = behind.find("-----")?;
        Some(
            at.saturating_add(9)
                .saturating_add(dashes)
                .saturating_add(5),
        )
    });
    let armour = |b: u8| {
        alnum(b)
            || b.is_ascii_whitespace()
            || matches!(b, b'+' | b'/' | b'=' | b'-' | b':' | b',' | b'\\')
    };
    Some(end.map_or_else(
        || text.run(start, text.len(), armour),
        |end| start.saturating_add(end),
    ))
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
