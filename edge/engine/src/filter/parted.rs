//! Keys of which more has to fit than what they begin with and the alphabet: the lengths of their parts, a mark inside, what
//! stands before it.

use super::provider::{
    Form, alnum_or_dot, dashed, dotted, form, lower, lower_hex, path, upper, word,
};
use super::text::{Text, alnum};
use super::vendor::{ANY, any, hex, key, random};
use proctor_model::content::{Confidence, ContentClass as Class};

/// A beginning of Discord's tokens: the first two digits of a bot's id in base64.
const fn discord(literal: &'static str) -> Form {
    Form {
        also: Some(bot),
        ..key(literal, dotted, 57, 70)
    }
}

/// What has one of these beginnings or marks, and the parts that belong to it.
pub(super) const FORMS: &[Form] = &[
    // Public keys, certificates, instance profiles, groups and policies of AWS, by their ids.
    form("APKA", Class::AwsKey, upper, 16, 17),
    form("ASCA", Class::AwsKey, upper, 16, 17),
    form("AIPA", Class::AwsKey, upper, 16, 17),
    form("AGPA", Class::AwsKey, upper, 16, 17),
    form("ANPA", Class::AwsKey, upper, 16, 17),
    form("ANVA", Class::AwsKey, upper, 16, 17),
    form("xoxv-", Class::SlackToken, dashed, 10, ANY),
    Form {
        also: Some(square),
        ..key("sq0", dashed, 26, 47)
    },
    Form {
        also: Some(dynatrace),
        ..key("dt0", dotted, 93, 93)
    },
    Form {
        also: Some(braintree),
        ..key("access_token", dollars, 61, 61)
    },
    discord("MD"),
    discord("MT"),
    discord("Mj"),
    discord("Mz"),
    discord("ND"),
    discord("NT"),
    discord("Nj"),
    discord("Nz"),
    discord("OD"),
    discord("OT"),
    Form {
        also: Some(airtable),
        ..key("pat", alnum_or_dot, 79, 79)
    },
    Form {
        also: Some(harness),
        ..key("pat.", dotted, 66, 70)
    },
    Form {
        also: Some(harness),
        ..key("sat.", dotted, 66, 70)
    },
    Form {
        also: Some(authress),
        ..key("authress_", any, 40, 256)
    },
    Form {
        also: Some(authress),
        ..key("scauth_", any, 40, 256)
    },
    Form {
        also: Some(authress),
        ..key("sc_", any, 40, 256)
    },
    Form {
        also: Some(authress),
        ..key("ext_", any, 40, 256)
    },
    Form {
        also: Some(discord_webhook),
        ..key("discord.com/api/", path, 80, 256)
    },
    Form {
        also: Some(discord_webhook),
        ..key("discordapp.com/api/", path, 80, 256)
    },
    // What stands before it is the address of the office.
    Form {
        head: 1,
        ..key("/IncomingWebhook/", any, 60, ANY)
    },
    Form {
        also: Some(mapbox),
        ..key("pk.", dotted, 70, 256)
    },
    Form {
        also: Some(mapbox),
        ..key("sk.", dotted, 70, 256)
    },
    Form {
        also: Some(apart),
        ..key("key-", lower_hex, 32, 32)
    },
    Form {
        also: Some(apart),
        ..key("pubkey-", lower_hex, 32, 32)
    },
    Form {
        also: Some(apart),
        ..key("EAAA", dashed, 60, 60)
    },
    Form {
        also: Some(resend),
        ..key("re_", word, 33, 33)
    },
    Form {
        also: Some(zoho),
        ..key("1000.", hex_dotted, 65, 65)
    },
    Form {
        also: Some(zoho),
        ..key("1001.", hex_dotted, 65, 65)
    },
    Form {
        head: 14,
        also: Some(terraform),
        ..key(".atlasv1.", any, 60, 80)
    },
    Form {
        head: 36,
        also: Some(maxmind),
        ..key("_mmk", word, 0, 0)
    },
    Form {
        head: 36,
        also: Some(new_relic),
        ..key("NRAL", alnum, 0, 0)
    },
    Form {
        head: 32,
        also: Some(mailchimp),
        ..key("-us", digit, 1, 2)
    },
];

fn hex_dotted(b: u8) -> bool {
    hex(b) || b == b'.'
}

fn digit(b: u8) -> bool {
    b.is_ascii_digit()
}

fn dollars(b: u8) -> bool {
    alnum(b) || b == b'$'
}

/// `sq0idp-` and others: three letters for the kind, then 22 characters or 43.
fn square(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let (kind, body) = text.slice(start, end).get(3..)?.split_once('-')?;
    let kind = kind.len() == 3 && kind.bytes().all(|b| b.is_ascii_lowercase());
    (kind && matches!(body.len(), 22 | 43)).then_some((start, end))
}

/// `dt0c01.`, a public part, a secret one.
fn dynatrace(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let kind = text.slice(start, end).as_bytes().get(3..6)?;
    let known = matches!(kind, [a, b, c]
        if a.is_ascii_alphabetic() && b.is_ascii_digit() && c.is_ascii_digit());
    parts(text, start, end, &[6, 24, 64]).filter(|_| known)
}

/// `access_token$production$`, a merchant, a secret.
fn braintree(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let rest = text.slice(start, end);
    let rest = rest.strip_prefix("access_token$production$")?;
    let (merchant, secret) = rest.split_once('$')?;
    let fits = merchant.len() == 16
        && secret.len() == 32
        && merchant.bytes().all(lower)
        && secret.bytes().all(lower_hex);
    fits.then_some((start, end))
}

/// The id of a bot in base64, when the token was made, and a signature.
fn bot(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let mut parts = text.slice(start, end).split('.');
    let (id, made, signature) = (parts.next()?, parts.next()?, parts.next()?);
    // Three digits become four characters, of which the first can only be one of these.
    let mut groups = id.bytes().step_by(4);
    let digits = groups.all(|b| matches!(b, b'M' | b'N' | b'O'));
    let fits = (23..=28).contains(&id.len())
        && id.bytes().all(alnum)
        && made.len() == 6
        && (27..=38).contains(&signature.len());
    (digits && fits && parts.next().is_none()).then_some((start, end))
}

/// `webhooks/`, an id, a token; what stands behind them says what to do.
fn discord_webhook(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    const FOLDER: &str = "/webhooks/";
    let (api, rest) = text.slice(start, end).split_once(FOLDER)?;
    let mut parts = rest.split('/');
    let (id, token) = (parts.next()?, parts.next()?);
    let fits =
        (15..=21).contains(&id.len()) && id.bytes().all(digit) && (60..=80).contains(&token.len());
    let length = api.len().saturating_add(FOLDER.len());
    let length = length.saturating_add(id.len()).saturating_add(token.len());
    fits.then_some((start, start.saturating_add(length).saturating_add(1)))
}

/// The random end of a longer name, as of an entry in a cache, is none.
fn apart(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let joined = matches!(text.before(start), b'-' | b'_' | b'.' | b'/' | b'+');
    random(text, start, end).filter(|_| !joined)
}

/// Lengths of the parts between dots, the literal's among them.
fn parts(text: Text<'_>, start: usize, end: usize, lens: &[usize]) -> Option<(usize, usize)> {
    let found = text.slice(start, end).split('.').map(str::len);
    found.eq(lens.iter().copied()).then_some((start, end))
}

fn airtable(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let secret = text.bytes(end.saturating_sub(64), end);
    let fits = secret.iter().all(|b| lower_hex(*b));
    parts(text, start, end, &[17, 64]).filter(|_| fits)
}

fn harness(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    parts(text, start, end, &[3, 22, 24, 20])
}

fn authress(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let account = text.slice(start, end).contains(".acc_");
    account.then_some((start, end))
}

/// A token's public part and its signature.
fn mapbox(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let (_, signature) = text.slice(start, end).rsplit_once('.')?;
    let dots = text.slice(start, end).matches('.').count();
    (dots == 2 && (20..=24).contains(&signature.len())).then_some((start, end))
}

fn resend(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let parted = text.at(start.saturating_add(11)) == b'_';
    random(text, start, end).filter(|_| parted)
}

fn zoho(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    parts(text, start, end, &[4, 32, 32])
}

/// The range from `head` such bytes before the literal on, if no more of them stand there.
pub(super) fn behind(
    text: Text<'_>,
    literal: usize,
    end: usize,
    head: usize,
    is: fn(u8) -> bool,
) -> Option<(usize, usize)> {
    let start = text.run_back(literal, head.saturating_add(1), is);
    let exact = literal.saturating_sub(start) == head;
    (exact && !alnum(text.before(start))).then_some((start, end))
}

fn terraform(text: Text<'_>, literal: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, literal, end, 14, alnum)
}

fn maxmind(text: Text<'_>, literal: usize, end: usize) -> Option<(usize, usize)> {
    let start = literal.checked_sub(36)?;
    let parted = text.at(start.saturating_add(6)) == b'_';
    let random = random(text, start, literal).is_some();
    behind(text, literal, end, 36, word).filter(|_| parted && random)
}

fn new_relic(text: Text<'_>, literal: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, literal, end, 36, lower_hex)
}

fn mailchimp(text: Text<'_>, literal: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, literal, end, 32, lower_hex)
}

/// Mailgun's: 32, eight and eight hexadecimal digits, of which a run consists.
pub(super) fn hexes(
    text: Text<'_>,
    start: usize,
    end: usize,
) -> Option<(usize, usize, Class, Confidence)> {
    // What ends a sentence or parts a path is of the run, too.
    let outside = |b: u8| matches!(b, b'.' | b'/' | b'-');
    let start = text.run(start, 3, outside);
    let end = text.run_back(end, 3, outside);
    let run = text.bytes(start, end);
    let joint = |at: usize| matches!(at, 32 | 41);
    let fits = run.len() == 50
        && run.iter().enumerate().all(|(at, b)| match joint(at) {
            true => *b == b'-',
            false => lower_hex(*b),
        });
    fits.then_some((start, end, Class::GenericSecret, Confidence::Medium))
}

#[cfg(test)]
mod tests {
    use super::super::provider::keys;
    use super::*;

    fn found(text: &str) -> Vec<(String, Class)> {
        let mut found = Vec::new();
        let whole = Text { text, key: "" };
        keys(whole, 0, text.len(), &mut |from, to, class, _| {
            found.push((text[from..to].to_owned(), class));
        });
        found
    }

    #[test]
    fn parts_have_to_fit() {
        let hex = |n: usize| "9f8e7d6c5b4a39281706e5d4c3b2a1f0".repeat(3)[..n].to_owned();
        let tail = |n: usize| {
            "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2"[..n].to_owned()
        };
        let capitals = |n: usize| tail(n).to_ascii_uppercase();
        // `1234567890123456789` in base64.
        let id = "MTIzNDU2Nzg5MDEyMzQ1Njc4OQ";
        for (yes, class) in [
            (format!("ANPA{}", capitals(16)), Class::AwsKey),
            (format!("xoxv-{}", tail(20)), Class::SlackToken),
            (format!("sq0abc-{}", tail(22)), Class::GenericSecret),
            (format!("sq0abc-{}", tail(43)), Class::GenericSecret),
            (
                format!("dt0z09.{}.{}", capitals(24), capitals(64)),
                Class::GenericSecret,
            ),
            (
                format!("access_token$production${}${}", hex(16), hex(32)),
                Class::GenericSecret,
            ),
            (
                format!("{id}.{}.{}", tail(6), tail(38)),
                Class::GenericSecret,
            ),
            (
                format!(
                    "discord.com/api/webhooks/123456789012345678/{}-x_y",
                    tail(64)
                ),
                Class::GenericSecret,
            ),
            (
                format!(
                    "discordapp.com/api/v10/webhooks/123456789012345678/{}-x_y",
                    tail(64)
                ),
                Class::GenericSecret,
            ),
        ] {
            assert_eq!(found(&yes), [(yes.clone(), class)], "{yes}");
        }
        for no in [
            format!("ANPA{}", capitals(15)),
            format!("ANPA{}", capitals(18)),
            format!("sq0abc-{}", tail(23)),
            format!("sq0ab-{}", tail(22)),
            format!("dt0z09.{}.{}", capitals(25), capitals(63)),
            format!("access_token$sandbox1{}$${}", hex(16), hex(32)),
            format!("access_token$production${}${}", hex(15), hex(33)),
            format!("{id}.{}.{}", tail(7), tail(38)),
            format!("{id}.{}.{}", tail(6), tail(26)),
            format!("MT{}.{}.{}", tail(24), tail(6), tail(38)),
            format!(
                "discord.com/api/webhooks/1234567890/{}{}",
                tail(64),
                tail(8)
            ),
            format!("discord.com/api/webhooks/123456789012345678/{}", tail(56)),
            format!(
                "discord.com/api/channels/123456789012345678/{}-x_y",
                tail(64)
            ),
        ] {
            assert!(found(&no).is_empty(), "{no}: {:?}", found(&no));
        }
    }

    #[test]
    fn what_is_done_with_a_webhook_is_no_part_of_it() {
        let token = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2-x_y";
        let hook = format!("discord.com/api/webhooks/123456789012345678/{token}");
        for (before, behind) in [
            ("https://", "/github"),
            ("https://ptb.", "/messages/1"),
            ("", "?wait=1"),
        ] {
            let address = format!("{before}{hook}{behind}");
            assert_eq!(
                found(&address),
                [(hook.clone(), Class::GenericSecret)],
                "{address}"
            );
        }
    }

    #[test]
    fn forms_with_parts() {
        let hex = |n: usize| "9f8e7d6c5b4a39281706e5d4c3b2a1f0".repeat(3)[..n].to_owned();
        let tail = |n: usize| {
            "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2"[..n].to_owned()
        };
        for yes in [
            format!("pat{}.{}", tail(14), hex(64)),
            format!("pat.{}.{}.{}", tail(22), hex(24), tail(20)),
            format!("pk.{}.{}", tail(60), tail(22)),
            format!("key-{}", hex(32)),
            format!("re_{}_{}", tail(8), tail(24)),
            format!("1000.{}.{}", hex(32), hex(32)),
            format!("{}.atlasv1.{}", tail(14), tail(62)),
            format!("{}_{}_mmk", tail(6), tail(29)),
            format!("{}NRAL", hex(36)),
            format!("{}-us12", hex(32)),
        ] {
            let expected = [(yes.clone(), Class::GenericSecret)];
            assert_eq!(found(&yes), expected, "{yes}");
        }
        for no in [
            format!("pat{}.{}", tail(13), hex(64)),
            format!("cache-key-{}", hex(32)),
            format!("re_{}", "x".repeat(33)),
            format!("{}-us123", hex(32)),
            format!("{}-us12", hex(40)),
            "live_stream_connection_timeout_in_ms_2024".to_owned(),
            "s.someMethodWithALongName1".to_owned(),
            "secret_name_of_the_database_in_the_cluster_v2".to_owned(),
            "dp.example.com/a/path/to/a/page/of/the/site/2".to_owned(),
            "test_pub_sub_connection_is_closed_twice".to_owned(),
            "sha512-z3eMkzqUCLIAaYBzzuNtbGqYYmP3sP1Ckzqn3WjfKKPRe0L9cDSiqNkz".to_owned(),
            "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        ] {
            assert!(found(&no).is_empty(), "{no}: {:?}", found(&no));
        }
    }

    #[test]
    fn three_rows_of_hexadecimal_digits() {
        let fits = |text: &str| hexes(Text { text, key: "" }, 0, text.len()).is_some();
        let first = "9f8e7d6c5b4a39281706e5d4c3b2a1f0";
        assert!(fits(&format!("{first}-1234abcd-5678ef01")));
        assert!(fits(&format!("/{first}-1234abcd-5678ef01.")));
        assert!(!fits(&format!("{first}-1234abcd-5678ef0")));
        assert!(!fits(&format!("{first}-1234abcde5678ef01")));
        assert!(!fits(&format!("{first}-1234abcg-5678ef01")));
    }
}
