//! Hostile texts: whatever is repeated, the time grows with the length and no faster.
//!
//! No time is too long here, it depends on the machine, on what else runs there and on how this was built. What counts is
//! how much longer a text takes that is four times as long: about four times where each byte is looked at so many times,
//! sixteen times where each is looked at once for every other. Other work on the machine can only make a measurement
//! longer, so of several the shortest is nearest to the truth, of either length; it is measured again until those show
//! that the growth is small, and what is not linear never gets there.

use super::Rules;
use super::tests::{everything_redacted, inbound};
use serde_json::json;
use std::time::{Duration, Instant};

/// Bytes of the shorter text.
const LENGTH: usize = 50_000;
/// The longer one has so many times as many.
const TIMES: usize = 4;
/// Where a text of [`LENGTH`] takes too long, it is so many times shorter.
const SHORTER: usize = 8;
/// Texts of [`LENGTH`] are cut into so many pieces where what is looked at is how one is read to its end.
const PIECES: usize = 100;
/// What is linear takes [`TIMES`] as long, what is quadratic the square of it: as far from the one as from the other.
const GROWTH_MAX: u32 = 8;
/// Measurements before it is taken for what it looks like.
const ROUNDS: u32 = 25;

/// Whether the time for the longer text is less than [`GROWTH_MAX`] times that for the shorter.
fn is_linear(mut time: impl FnMut(usize) -> Duration) -> bool {
    // Tables are made with the first text.
    let _ = time(LENGTH);
    let (mut short, mut long) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        for _ in 0..3 {
            short = short.min(time(LENGTH));
        }
        long = long.min(time(LENGTH * TIMES));
        if long < short * GROWTH_MAX {
            return true;
        }
    }
    false
}

#[test]
fn what_grows_faster_is_told() {
    let micros = |n: usize| Duration::from_micros(u64::try_from(n).unwrap());
    assert!(is_linear(micros));
    assert!(is_linear(|n| micros(n * n.ilog2() as usize)));
    assert!(!is_linear(|n| micros(n * n / LENGTH)));
    // Disturbed two times of three, sixfold.
    let mut turn = 0;
    assert!(is_linear(|n| {
        turn += 1;
        micros(if turn % 3 == 0 { n } else { 6 * n })
    }));
}

#[test]
fn no_text_is_slow() {
    let rules = everything_redacted();
    let content = inbound(&rules);
    for unit in [
        "a@b.co ",
        "@",
        "4111 1111 1111 1111 ",
        "4111-",
        "--password ",
        "curl -u a:",
        "curl - -u -su ",
        "jdbc:oracle:thin:a/",
        "AKIAQWERTYUIOP234567,",
        "Authorization: a b ",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\"",
        "-----BEGIN PRIVATE KEY-----\n-----END ",
        "-----BEGIN PRIVATE KEY-----\n# -----BEGIN x\n",
        "-----BEGIN PRIVATE KEY-----\n-----END x-----\n",
        "-----BEGIN x-----\n",
        "-----BEGIN PRIVATE KEY-----\n(a)-----END PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "x</password>",
        "&lt;&lt;",
        "key=a1b2c3d4e5f6g7",
        "PuTTY-User-Key-File-2: ",
        "PuTTY-User-Key-File-2:.Private-MAC:.",
        "PuTTY-User-Key-File-x ",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY.---- END SSH2 ENCRYPTED PRIVATE KEY.",
        "https://a:b/",
        "ey-",
        "DE 1",
        "1",
        "1 ",
        "::",
        "a:",
        "=",
        "<<",
        "P<",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ.",
        "sk-",
        "password=",
        "\\\"",
        "\\u0040",
        "%40",
        "QUFBQUFB",
        "DE89 ",
        "+1 ",
        "(0",
        "://",
        "a:b@",
        "１",
        "\u{200b}",
        "AB 12 34 56 C",
        "0x",
        "1.1.1.1.",
        "a (1.1.1.1)\n",
        "ssh://a@b.co/",
        "https://a@b.co/o/r",
        "&#64;",
        "&",
        "a&commat;b",
        "1+",
        "1+2+3 ",
        "\\x41",
        "%E2%80%8B",
        "QUFBQUFBQUFBQUFb\n",
        "aQUFBQUFB_",
        "password=${",
        "token=",
        "sig=&",
        "sig=sv=",
        "aAKIA",
        "xghp_a1",
        "x4111111111111111 ",
        "x4111 ",
        "06.12.34.56.78 ",
        "0.4532015112830366 ",
        "SG.",
        "token: a || ",
        "token: string = \"",
        "x <- \"",
        "WITH PASSWORD '",
        "aB3d/AKC",
        "1482,",
        "q3 ",
        "电话",
        "a1!",
        "a1,",
        "a!a!a!a1 ",
        "VAT RO 1 ",
        "-p a1b2c3 ",
        "(\"password\", \"a1b2c3\"",
        "password is a1b2c3 ",
        "a1b2c3\n",
        ";P:a1b2c3;",
        "| token | a1b2c3 ",
        "default=",
        "name='x' where name='token'",
        "{ get; } = ",
    ] {
        let whole = unit.repeat(LENGTH * TIMES / unit.len());
        let linear = is_linear(|length| {
            let text = &whole[..whole.floor_char_boundary(length)];
            let start = Instant::now();
            let _ = content.treat_text(text);
            start.elapsed()
        });
        assert!(
            linear,
            "{unit:?} takes more than {GROWTH_MAX} times as long where there is {TIMES} times as much"
        );
    }
}

/// What a sign reads in vain is little: where signs follow each other, each reads what the next ones read again. In a text
/// that is shorter than the longest value all of it is read for each sign, if it is read to its end.
#[test]
fn no_sign_reads_far_in_vain() {
    let rules = everything_redacted();
    let content = inbound(&rules);
    for unit in ["password=${", "token=", "secret=a://"] {
        let whole = unit.repeat(LENGTH * TIMES / PIECES / unit.len());
        let linear = is_linear(|length| {
            let text = &whole[..(length / PIECES).min(whole.len())];
            let start = Instant::now();
            for _ in 0..PIECES {
                let _ = content.treat_text(text);
            }
            start.elapsed()
        });
        assert!(linear, "{unit:?}");
    }
}

/// A tenant's patterns, each of which has to read on before it is content with little.
#[test]
fn no_pattern_is_slow() {
    for (pattern, unit) in [
        (".*[^A-Z]|[A-Z]", "A"),
        ("(?s).*!|a", "a"),
        ("[a-z ]+[0-9]|[a-z]", "ab "),
        (r"\bx.*y|x", "x "),
    ] {
        let document = json!({"standard": false, "rules": [{"classes": ["own"], "action": "redact"}],
            "patterns": [{"name": "own", "regex": pattern}]});
        let rules = Rules::compile(&serde_json::from_value(document).unwrap()).unwrap();
        // These are shorter than other texts: where they match at each letter, each match has its price.
        let whole = unit.repeat(LENGTH * TIMES / SHORTER / unit.len());
        let linear = is_linear(|length| {
            let text = &whole[..(length / SHORTER).min(whole.len())];
            let mut count = 0_usize;
            let start = Instant::now();
            rules
                .filter()
                .custom
                .scan(text, "", &mut |_, _, _| count += 1);
            assert!(count > text.len() / 8, "{pattern}");
            start.elapsed()
        });
        assert!(linear, "{pattern}");
    }
}
