//! Values that look random, under names that speak of keys anywhere in them: `stripe_key_prod=`, `SECRET_KEY_BASE:`.
//!
//! The names that [`assigned`](super::assigned) knows give short and simple values away too; these do not, for keys of
//! caches, tables and pages are called so as well.

use super::credible::is_scope;
use super::names::is_position;
use super::text::{Text, alnum, entropy, turns};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use proctor_model::content::{Confidence, ContentClass as Class};
use std::sync::LazyLock;

/// Shortest value, in bytes: most of what stands behind a sign is shorter, and not looked at further.
const LEAST: usize = 14;
/// Shortest value that no vendor's name stands by.
const LEAST_UNNAMED: usize = 20;
/// Shortest hexadecimal one.
const LEAST_HEX: usize = 32;
/// Longest value.
const VALUE_BYTES_MAX: usize = 200;
/// Longest name.
const NAME_BYTES_MAX: usize = 64;

/// Parts of names, as one automaton: there are many, and each name is looked through once.
type Words = LazyLock<Option<AhoCorasick>>;

fn words(list: &str) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(list.split_ascii_whitespace())
        .ok()
}

fn has(words: &Words, name: &str) -> bool {
    (**words).as_ref().is_some_and(|words| words.is_match(name))
}

/// What speaks of a secret.
static SECRET: Words =
    LazyLock::new(|| words("key token secret passw pwd passphrase auth cred login"));

/// What is called so and is none.
static HARMLESS: Words = LazyLock::new(|| {
    words(
        "public primary foreign partition sortkey rowkey unique cache idempot dedup lookup \
     indexkey routing objectkey s3key filekey blobkey imagekey mediakey issuekey projectkey \
     messagekey translationkey hotkey keyring keypair keyfile keypath keyname keyword \
     keyboard monkey hockey turkey keyvault keyurl keyarn tokens tokentype tokenid tokenizer \
     tokenurl tokenfile nexttoken pagetoken nextpage continuation cursor synctoken synckey \
     secretname secretarn secretref secretsmanager authors authored authorname authorid \
     authority authurl hash sha1 sha256 sha512 md5 etag checksum digest integrity fingerprint \
     thumbprint commit revision algorithm signingalg keytype keyexchange authservice \
     authclass authprovider authmethod ciphersuite keyid credentialid csrftoken csrfmiddleware \
     xsrf keylength tokenlength keysize tokensize",
    )
});

/// Services whose keys are short, or have no form of their own.
static VENDORS: Words = LazyLock::new(|| {
    words(
        "abuseipdb adafruit adobe airtable algolia alibaba aliyun apollo asana assemblyai auth0 \
     beamer bitbucket bittrex boxkey browserstack bundle bxkey checkout circleci civo clerk \
     clickup cloudflare codecov cohere coapi coinbase configcat confluent contentful \
     coveralls crates databento datadog datagov deepgram discord disqus drone dropbox \
     elevenlabs endor facebook falai falapi fastly finicity finnhub flickr freshbooks \
     fullstory fsapi gitea gitter gocardless greptile gumroad heroku honeycomb hubspot hunter \
     ibmcloud ibmkey infomaniak instantly intercom jumpcloud kagi klaviyo kraken kucoin lark \
     launchdarkly lighton linear linkedin lobkey looker mailchimp mailgun mapbox mattermost \
     meraki messagebird midtrans miro mistral monday muxtoken netlify newrelic newyorktimes \
     nytimes ngrok ollama openweather pyowm opsgenie ovh pagerduty paypal pinecone plaid \
     plivo polykey polymarket postmark privateai rainforest rapidapi razorpay retell \
     salesforce scaleway scalr sendbird sentry snowflake snyk sonar square sslmate stability \
     sumo telegr telnyx travis trello twitch twitter typeform upstage upstash vercel \
     virustotal vultr waka weatherstack weightsandbiases wandb wiz woo workos xapikey figma \
     yandex zendesk zoho",
    )
});

/// What a name says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// `key`, which much is called.
    Bare,
    Secret,
    /// What is called so is a key whatever its form; of tokens that look like ids, many are ids.
    Proof,
    /// Of a service that is known.
    Vendor,
}

/// The value behind the sign at `at`.
pub(super) fn named(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let behind = at.saturating_add(1);
    let start = text.run(behind, 8, |b| is_gap(b) || b == b'>');
    let enough = start.saturating_add(LEAST);
    if text.run(start, LEAST, is_value) < enough || is_empty(text.bytes(behind, start)) {
        return None;
    }
    let name_end = text.run_back(at, 8, |b| is_gap(b) || matches!(b, b']' | b')'));
    let name_start = text.run_back(name_end, NAME_BYTES_MAX, |b| {
        alnum(b) || matches!(b, b'_' | b'-' | b'.')
    });
    let name = name_of(text.slice(name_start, name_end))?;
    let end = text.run(start, VALUE_BYTES_MAX, is_value);
    let closed = matches!(
        text.at(end),
        b'"' | b'\''
            | b'`'
            | b' '
            | b'\t'
            | b'\r'
            | b'\n'
            | b';'
            | b','
            | b'}'
            | b')'
            | b']'
            | b'<'
            | b'&'
            | b'\\'
            | b'|'
            | 0
    );
    let end = text.run_back(end, 1, |b| b == b'.');
    let sure = judge(text.slice(start, end), name).filter(|_| closed)?;
    Some((start, end, Class::GenericSecret, sure))
}

/// The whole text as the value of the member that is named by its key.
pub(super) fn keyed(text: Text<'_>) -> Option<(usize, usize, Class, Confidence)> {
    let value = text.text;
    if !(LEAST..=VALUE_BYTES_MAX).contains(&value.len()) || !value.bytes().all(is_value) {
        return None;
    }
    let sure = judge(value, name_of(text.key)?)?;
    Some((0, value.len(), Class::GenericSecret, sure))
}

fn is_value(b: u8) -> bool {
    alnum(b)
        || matches!(
            b,
            b'_' | b'-' | b'.' | b'+' | b'/' | b'=' | b'~' | b'%' | b'!'
        )
}

/// Between a name and its value.
fn is_gap(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'=' | b':' | b'\\')
}

/// `""` and a blank: the value is there, and empty.
fn is_empty(gap: &[u8]) -> bool {
    gap.windows(3)
        .any(|three| matches!(three, [b'"', b'"', b' '] | [b'\'', b'\'', b' ']))
}

fn name_of(name: &str) -> Option<Name> {
    if name.len() < 3 || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let letters = name.bytes().filter(|b| alnum(*b));
    let plain: String = letters
        .map(|b| char::from(b.to_ascii_lowercase()))
        .collect();
    if !has(&SECRET, &plain) || has(&HARMLESS, &plain) || is_position(&plain) {
        return None;
    }
    Some(match plain.as_str() {
        "key" => Name::Bare,
        _ if has(&VENDORS, &plain) => Name::Vendor,
        _ if ["apikey", "authorization", "secret"]
            .iter()
            .any(|end| plain.ends_with(end)) =>
        {
            Name::Proof
        }
        _ => Name::Secret,
    })
}

/// How sure it is a key: by its length and by how disorderly it is.
fn judge(value: &str, name: Name) -> Option<Confidence> {
    let bytes = value.as_bytes();
    let hex = bytes.iter().all(u8::is_ascii_hexdigit);
    let vendor = name == Name::Vendor;
    let least = match (vendor, hex) {
        (true, _) => LEAST,
        (false, true) => LEAST_HEX,
        (false, false) => LEAST_UNNAMED,
    };
    let uuid = bytes.len() == 36
        && bytes.iter().filter(|b| **b == b'-').count() == 4
        && bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    if uuid {
        return (vendor || name == Name::Proof).then_some(Confidence::Medium);
    }
    let file = name == Name::Bare && is_file(value);
    if bytes.len() < least || file || !is_disorderly(bytes) || is_scope(value) {
        return None;
    }
    let long = bytes.len() >= LEAST_UNNAMED && name != Name::Bare;
    Some(match long && entropy(bytes) >= 3.2 {
        true => Confidence::High,
        false => Confidence::Medium,
    })
}

/// `Uploads/IMG20240112-1234567.JPG`, as stores of objects call what is in them.
fn is_file(value: &str) -> bool {
    let Some((path, extension)) = value.rsplit_once('.') else {
        return false;
    };
    path.contains('/') && (2..=5).contains(&extension.len()) && extension.bytes().all(alnum)
}

/// Letters and digits by turns, and few dashes: not words, not a path, not a date.
fn is_disorderly(bytes: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|b| is(b)).count();
    let digits = count(u8::is_ascii_digit);
    let letters = count(u8::is_ascii_alphabetic);
    let joints = count(|b| matches!(*b, b'_' | b'-' | b'.' | b'/'));
    let turns = turns(bytes).count();
    let length = bytes.len();
    let mixed = digits >= 2 && turns.saturating_mul(5) >= length;
    let wild = turns.saturating_mul(9) >= length.saturating_mul(4);
    let path = bytes.contains(&b'/') && !bytes.iter().any(u8::is_ascii_uppercase);
    let plain = bytes.starts_with(b"//") || bytes.starts_with(b"./");
    letters >= 3
        && joints.saturating_mul(8) <= length
        && (mixed || wild)
        && !path
        && !plain
        && entropy(bytes) >= 2.9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<&str> {
        let whole = Text { text, key: "" };
        memchr::memchr2_iter(b'=', b':', text.as_bytes())
            .find_map(|at| named(whole, at))
            .map(|(a, b, ..)| &text[a..b])
    }

    #[test]
    fn random_values_under_names_of_keys() {
        for (text, value) in [
            ("key=Zx81qLmP09aBcD77tR4w", "Zx81qLmP09aBcD77tR4w"),
            (
                "key: 9f8e7d6c5b4a39281706e5d4c3b2a1f0",
                "9f8e7d6c5b4a39281706e5d4c3b2a1f0",
            ),
            (
                "SECRET_KEY_BASE=9f8e7d6c5b4a39281706e5d4c3b2a1f09f8e7d6c5b4a3928",
                "9f8e7d6c5b4a39281706e5d4c3b2a1f09f8e7d6c5b4a3928",
            ),
            (
                "\"db_key\": \"Zx81qLmP09aBcD77tR4w\"",
                "Zx81qLmP09aBcD77tR4w",
            ),
            (
                "client_key_prod => 'Zx81qLmP09aBcD77tR4w'",
                "Zx81qLmP09aBcD77tR4w",
            ),
            ("Key: Zx81qLmP/09aBcD77tR4w", "Zx81qLmP/09aBcD77tR4w"),
            (
                "service_role_key=Zx81qLmP09aBcD77tR4w",
                "Zx81qLmP09aBcD77tR4w",
            ),
            ("dropbox_key = tfczkxi47db45ex", "tfczkxi47db45ex"),
            (
                "CSRF_KEY=9f8e7d6c5b4a39281706e5d4c3b2a1f0",
                "9f8e7d6c5b4a39281706e5d4c3b2a1f0",
            ),
            (
                "wavelength_key: Zx81qLmP09aBcD77tR4w",
                "Zx81qLmP09aBcD77tR4w",
            ),
            (
                "algolia_key\"\"=cn5nqr1g2iqcvmlyfbdc9x35ezhfquof",
                "cn5nqr1g2iqcvmlyfbdc9x35ezhfquof",
            ),
            (
                "apiKey: c4ed6c21-9e51-48f1-90dc-66425a6c63e4",
                "c4ed6c21-9e51-48f1-90dc-66425a6c63e4",
            ),
            (
                "client_secret=\"c4ed6c21-9e51-48f1-90dc-66425a6c63e4\"",
                "c4ed6c21-9e51-48f1-90dc-66425a6c63e4",
            ),
            (
                "heroku_key=418ddb07-9e51-28f1-d0dc-66425a6c63e4",
                "418ddb07-9e51-28f1-d0dc-66425a6c63e4",
            ),
        ] {
            assert_eq!(secret(text), Some(value), "{text}");
        }
    }

    #[test]
    fn names_and_values_that_are_none() {
        for text in [
            "key: users/2024/profile12/avatar.png",
            "\"Key\": \"Uploads/IMG20240112-1234567.JPG\"",
            "key_algorithm: HmacSHA256WithRSAEncryption",
            "auth_service: AuthServiceClientV2Impl3Factory",
            "key_exchange: X25519Kyber768Draft00Hybrid",
            "key: my-long-name-for-2024-thing",
            "X-Amz-Credential=ASIA4X7Q2K9Z3M8W5B6C%2F20241129%2Fus-east-1%2Fs3%2Faws4_request",
            "cache_key=9f8e7d6c5b4a39281706e5d4c3b2a1f0",
            "idempotency-key: 550e8400-e29b-41d4-a716-446655440000",
            "request_key: 550e8400-e29b-41d4-a716-446655440000",
            "token: 550e8400-e29b-41d4-a716-446655440000",
            "secret_id: 550e8400-e29b-41d4-a716-446655440000",
            "public_key: Zx81qLmP09aBcD77tR4w",
            "credentialId: Zx81qLmP09aBcD77tR4w",
            "publicToken: Zx81qLmP09aBcD77tR4w",
            "csrf-token: Zx81qLmP09aBcD77tR4w",
            "key_length: Zx81qLmP09aBcD77tR4w",
            "tokenSize: Zx81qLmP09aBcD77tR4w",
            "pageToken: Zx81qLmP09aBcD77tR4w",
            "/users?$skiptoken=Zx81qLmP09aBcD77tR4w",
            "/users/delta?$deltatoken=Zx81qLmP09aBcD77tR4w",
            "\"nextForwardToken\": \"f/Zx81qLmP09aBcD77tR4w\"",
            "\"nextBackwardToken\": \"b/Zx81qLmP09aBcD77tR4w\"",
            "paginationToken: Zx81qLmP09aBcD77tR4w",
            "resume_token: Zx81qLmP09aBcD77tR4w",
            "nextSequenceToken: Zx81qLmP09aBcD77tR4w",
            "cursor_key: Zx81qLmP09aBcD77tR4w",
            "auth_handler: AuthenticationServiceImplementation",
            "integrity: sha512-Zx81qLmP09aBcD77tR4wZx81qLmP09aBcD77tR4w",
            "key: 9f8e7d6c5b4a3928",
            "key: 2024-11-29T21:33:07Z",
            "authors: Zx81qLmP09aBcD77tR4w",
            "order: Zx81qLmP09aBcD77tR4w",
            "key_url: https://example.com/a1b2c3d4e5f6",
            "password: \"\" other1value2is3here4",
        ] {
            assert_eq!(secret(text), None, "{text}");
        }
    }

    #[test]
    fn a_member_is_named_by_its_key() {
        let sure = |key, text| keyed(Text { text, key }).map(|(.., sure)| sure);
        let random = "Zx81qLmP09aBcD77tR4w";
        assert_eq!(sure("db_key", random), Some(Confidence::High));
        assert_eq!(sure("key", random), Some(Confidence::Medium));
        assert_eq!(sure("sort_key", random), None);
        assert_eq!(sure("name", random), None);
    }
}
