//! Currencies as people write them beside an amount: by a sign, by a word, or by a code without a blank.

use super::text::Cut;

/// Codes of currencies, as they stand before or behind an amount.
pub(super) const CODES: [&str; 21] = [
    "eur", "usd", "gbp", "chf", "jpy", "cny", "inr", "aud", "cad", "nzd", "sek", "nok", "dkk",
    "pln", "czk", "huf", "brl", "mxn", "zar", "sgd", "hkd",
];
/// Signs of one currency alone. That of the yen is the yuan's as well.
const SIGNS: [(char, &str); 11] = [
    ('€', "eur"),
    ('£', "gbp"),
    ('₹', "inr"),
    ('₩', "krw"),
    ('₽', "rub"),
    ('₺', "try"),
    ('₪', "ils"),
    ('₫', "vnd"),
    ('₴', "uah"),
    ('₱', "php"),
    ('฿', "thb"),
];
/// Dollars, by what stands before the sign.
const DOLLARS: [(&str, &str); 12] = [
    ("", "usd"),
    ("us", "usd"),
    ("a", "aud"),
    ("au", "aud"),
    ("c", "cad"),
    ("ca", "cad"),
    ("nz", "nzd"),
    ("s", "sgd"),
    ("sg", "sgd"),
    ("hk", "hkd"),
    ("mx", "mxn"),
    ("r", "brl"),
];
/// Those that somebody may call dollars who has said which.
const OTHER_DOLLARS: [&str; 5] = ["aud", "cad", "nzd", "sgd", "hkd"];

/// Further codes and names, by which a text says that it means some currency.
const OTHERS: [&str; 43] = [
    "aed", "ars", "bdt", "bgn", "bhd", "clp", "egp", "ghs", "idr", "ils", "isk", "jod", "kes",
    "krw", "kwd", "lkr", "myr", "ngn", "omr", "php", "pkr", "qar", "rub", "sar", "thb", "tnd",
    "twd", "uah", "vnd", "btc", "usdt", "usdc", "bitcoin", "dollar", "dollars", "pound", "pounds",
    "franc", "francs", "rupee", "rupees", "peso", "pesos",
];

/// All other codes of ISO 4217. Many of them are words: in capital letters alone, and by themselves.
const RARE: [&str; 104] = [
    "afn", "all", "amd", "aoa", "awg", "azn", "bam", "bbd", "bif", "bmd", "bnd", "bob", "bsd",
    "btn", "bwp", "byn", "bzd", "cdf", "cop", "crc", "cup", "cve", "djf", "dop", "dzd", "ern",
    "etb", "fjd", "fkp", "gel", "gip", "gmd", "gnf", "gtq", "gyd", "hnl", "htg", "iqd", "irr",
    "jmd", "kgs", "khr", "kmf", "kpw", "kyd", "kzt", "lak", "lbp", "lrd", "lsl", "lyd", "mad",
    "mdl", "mga", "mkd", "mmk", "mnt", "mop", "mru", "mur", "mvr", "mwk", "mzn", "nad", "nio",
    "npr", "pab", "pen", "pgk", "pyg", "ron", "rsd", "rwf", "sbd", "scr", "sdg", "shp", "sle",
    "sos", "srd", "ssp", "stn", "svc", "syp", "szl", "tjs", "tmt", "top", "try", "ttd", "tzs",
    "ugx", "uyu", "uzs", "ves", "vuv", "wst", "xaf", "xcd", "xof", "xpf", "yer", "zmw", "zwg",
];

/// What a currency is noted as beside its code: that there is one, be it unknown which. No code.
pub(super) const ANY: &str = "*";
/// Longest value of a record that is a currency or an amount in one, in bytes.
const VALUE_BYTES_MAX: usize = 24;

/// The currency that a value of a record is, or that its amount is in (`JPY`, `5000 JPY`, `$50`), and [`ANY`].
pub(super) fn currency_of(value: &str, found: &mut dyn FnMut(&str)) {
    let name = value.trim_matches(|c: char| c.is_ascii_digit() || " .,'+-".contains(c));
    // Hardly any value is one.
    if name.is_empty() || value.len() > VALUE_BYTES_MAX {
        return;
    }
    if is_code(name) {
        found(ANY);
        return found(&name.to_ascii_lowercase());
    }
    let sign = |c: char| c == '$' || SIGNS.iter().any(|(sign, _)| *sign == c);
    if name == "¥" {
        found(ANY);
    } else if name.ends_with(sign) {
        for code in signs_in(&value.to_lowercase()) {
            found(ANY);
            found(code);
        }
    }
}

/// Whether a value is a code: in capital letters, or one of the best known.
fn is_code(name: &str) -> bool {
    let listed = |codes: &[&str]| codes.iter().any(|code| code.eq_ignore_ascii_case(name));
    let capital = name.bytes().all(|b| b.is_ascii_uppercase());
    listed(&CODES) || (capital && (listed(&OTHERS) || listed(&RARE)))
}

/// The currencies that a text names.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Currencies {
    /// The codes of those that it has signs or words for, and codes beside an amount: `CAD` alone is a drawing, too.
    pub(super) codes: Vec<&'static str>,
    /// Whether it names any, be it one that could be several.
    pub(super) any: bool,
}

impl Currencies {
    /// Of a normal text with its words. Who says which dollars are meant means no others.
    pub(super) fn of(normal: &str, words: &Cut<'_>) -> Self {
        let mut codes = Vec::new();
        for chunk in normal.split(' ') {
            codes.extend(signs_in(chunk));
            let code = code_of(chunk.trim_matches(|c: char| !c.is_alphabetic()));
            codes.extend(code.filter(|_| is_figure(chunk)));
        }
        let word = |at: Option<usize>| at.and_then(|at| words.get(at)).unwrap_or_default();
        for (at, own) in words.words().enumerate() {
            let before = word(at.checked_sub(1));
            let behind = word(at.checked_add(1));
            let weight = own.starts_with("pound")
                && behind == "of"
                && !OWN.contains(&word(at.checked_add(2)));
            codes.extend(named(own, before).filter(|_| !weight));
            let meant = matches!(before, "in" | "dollar" | "dollars")
                || [before, behind].into_iter().any(is_figure);
            codes.extend(code_of(own).filter(|_| meant));
        }
        let said_which = codes.iter().any(|code| OTHER_DOLLARS.contains(code));
        let any = !codes.is_empty()
            || normal.contains(['$', '¥'])
            || words
                .words()
                .any(|word| OTHERS.contains(&word) || CODES.contains(&word));
        codes.retain(|code| !(said_which && *code == "usd"));
        codes.sort_unstable();
        codes.dedup();
        Self { codes, any }
    }
}

/// What stands behind `pounds of` where money is meant: of anything else they are a weight.
const OWN: [&str; 10] = [
    "the", "my", "our", "your", "his", "her", "their", "this", "that", "its",
];

fn is_figure(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit())
}

fn code_of(word: &str) -> Option<&'static str> {
    CODES.into_iter().find(|code| *code == word)
}

/// Of `$50`, `ca$50` and `50€`; `$home` is no amount.
fn signs_in(chunk: &str) -> impl Iterator<Item = &'static str> {
    let amount =
        !chunk.contains(char::is_alphabetic) || chunk.contains(|c: char| c.is_ascii_digit());
    let signs = chunk.char_indices().filter(move |_| amount);
    signs.filter_map(move |(at, sign)| {
        if sign != '$' {
            return SIGNS
                .into_iter()
                .find(|(of, _)| *of == sign)
                .map(|(_, code)| code);
        }
        let before = chunk
            .get(..at)?
            .rsplit(|c: char| !c.is_ascii_alphabetic())
            .next()?;
        DOLLARS
            .into_iter()
            .find(|(of, _)| *of == before)
            .map(|(_, code)| code)
    })
}

/// By its name, with the word before that.
fn named(word: &str, before: &str) -> Option<&'static str> {
    Some(match (word, before) {
        ("euro" | "euros", _) => "eur",
        ("yen", _) => "jpy",
        ("yuan" | "renminbi" | "rmb", _) => "cny",
        ("zloty" | "zlotys", _) => "pln",
        ("franc" | "francs", "swiss") => "chf",
        ("dollar" | "dollars", "canadian") => "cad",
        ("dollar" | "dollars", "australian") => "aud",
        ("dollar" | "dollars", "singapore" | "singaporean") => "sgd",
        ("dollar" | "dollars", "kong") => "hkd",
        ("dollar" | "dollars", "zealand") => "nzd",
        ("dollar" | "dollars", "american") => "usd",
        ("pound" | "pounds", "british") => "gbp",
        // Jamaican dollars, Lebanese pounds: others than those that are meant without a word.
        ("dollar" | "dollars" | "pound" | "pounds", "taiwan") => return None,
        ("dollar" | "dollars" | "pound" | "pounds", other)
            if ["an", "ese", "ish"]
                .iter()
                .any(|ending| other.ends_with(ending)) =>
        {
            return None;
        }
        ("dollar" | "dollars", _) => "usd",
        ("pound" | "pounds", _) => "gbp",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::text::normal;
    use super::*;

    fn named_in(text: &str) -> Currencies {
        let text = normal(text);
        Currencies::of(&text, &Cut::new(&text))
    }

    #[test]
    fn signs_words_and_codes() {
        for (text, codes) in [
            ("Pay $50", &["usd"][..]),
            ("Pay 50$.", &["usd"]),
            ("Pay US$50/month", &["usd"]),
            ("Pay CA$50", &["cad"]),
            ("Pay $50 CAD", &["cad"]),
            ("Pay 50 € and 3 £", &["eur", "gbp"]),
            ("Pay 50€/month", &["eur"]),
            ("Pay fifty dollars", &["usd"]),
            ("Pay 50 Canadian dollars", &["cad"]),
            ("Pay 50 pounds", &["gbp"]),
            ("Pay 50 Swiss francs", &["chf"]),
            ("Pay EUR1000", &["eur"]),
            ("Pay 1000EUR now", &["eur"]),
            ("Pay 1000 EUR", &["eur"]),
            ("Pay EUR 1,000", &["eur"]),
            ("Pay 50 dollars in CAD", &["cad"]),
            ("Pay 50 dollars (CAD)", &["cad"]),
            ("Pay the CAD designer $50", &["usd"]),
            ("Pay 50 pounds of my rent", &["gbp"]),
        ] {
            let named = named_in(text);
            assert_eq!(named.codes, codes, "{text}");
            assert!(named.any, "{text}");
        }
    }

    #[test]
    fn values_of_records() {
        for (value, told) in [
            ("JPY", &[ANY, "jpy"][..]),
            ("usd", &[ANY, "usd"]),
            ("RON", &[ANY, "ron"]),
            ("5000 JPY", &[ANY, "jpy"]),
            ("EUR 1.250,00", &[ANY, "eur"]),
            ("$50.00", &[ANY, "usd"]),
            ("-CA$ 50", &[ANY, "cad"]),
            ("50€", &[ANY, "eur"]),
            ("¥5000", &[ANY]),
            ("5000", &[]),
            ("2024-05-15", &[]),
            ("all", &[]),
            ("Bob", &[]),
            ("CAD designer", &[]),
            ("costs 50 EUR at the door today", &[]),
            ("$HOME", &[]),
            ("", &[]),
        ] {
            let mut found = Vec::new();
            currency_of(value, &mut |code| found.push(code.to_owned()));
            assert_eq!(found, told, "{value}");
        }
    }

    #[test]
    fn what_may_be_several_is_none_of_them() {
        for (text, any) in [
            ("Pay ¥5000", true),
            ("Pay 50 Jamaican dollars", true),
            ("Pay 50 Egyptian pounds", true),
            ("Pay 50 KWD", true),
            ("Buy 2 pounds of coffee", true),
            ("Send the CAD files", true),
            ("Pay 50 to Bob", false),
            ("Run home/x", false),
        ] {
            let named = named_in(text);
            assert_eq!(named.codes, [""; 0], "{text}");
            assert_eq!(named.any, any, "{text}");
        }
    }
}
