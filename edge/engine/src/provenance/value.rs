//! Values of known kinds, recognised inside longer text and brought into one canonical form.

use super::account::ibans;
use super::address::{addresses, canonical_url, ends_chunk};
use super::host::ends_as_file;
use super::ideographic::ideographic;
use super::phone::phones;
use super::quantity::{dates, numbers};
use super::spelled::spelled_out;
use super::text::{Cut, folded, normal, visible, with_ascii_digits, without_entities};
use super::wallet::{wallet, wallets};
use std::borrow::Cow;

/// A kind of value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The bytes as they are.
    Exact,
    /// A whole value in normal form.
    Whole,
    /// A word of a text.
    Word,
    /// An e-mail address, lower case.
    Email,
    /// A web address without its scheme: host in lower case, no trailing slash.
    Url,
    /// A name with a dot that may be a host's (`acme.blog`) or something else (`order.id`, `notes.old.md`): a link if somebody
    /// else may have written it.
    Name,
    /// An IBAN (ISO 13616) whose check digits are right, without spaces.
    Iban,
    /// A telephone number: `+` and digits, or digits only.
    Phone,
    /// An address of a crypto currency whose checksum is right.
    Wallet,
    /// A number in its shortest decimal form.
    Number,
    /// A date as `year-month-day`.
    Date,
    /// Month and day of any date.
    MonthDay,
    /// Month and day of a date that was written without a year.
    Yearless,
    /// A number that a writer may have meant (`5m`, `10 000`): suspect as one, and no proof of one.
    Meant,
    /// The digits of a card, an account or a telephone number, however they are grouped.
    Digits,
    /// The name of a file, without the path to it.
    File,
    /// A part of a date or of a time, with its name: `month 5`.
    PartOfDate,
    /// A currency by its code, lower case, or that there is one: of no other argument than one for a currency.
    Currency,
    /// A number that is said of rows.
    Rows,
    /// What stands between two words.
    Gap,
}

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Gap.index() + 1;

    #[expect(clippy::as_conversions, reason = "the discriminant")]
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Names a place or a party outside: followed by whoever reads the text that it stands in.
    pub(super) fn leads_out(self) -> bool {
        matches!(
            self,
            Self::Email | Self::Url | Self::Iban | Self::Phone | Self::Wallet
        )
    }

    /// The kind that it is noted and looked up as.
    pub(super) fn noted(self) -> Self {
        match self {
            Self::Name => Self::Url,
            kind => kind,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Url | Self::Name => "a link",
            Self::Iban => "an IBAN",
            Self::Phone => "a telephone number",
            Self::Wallet => "a crypto address",
            Self::Number | Self::Meant => "a number",
            Self::Date | Self::MonthDay | Self::Yearless | Self::PartOfDate => "a date",
            Self::Exact
            | Self::Whole
            | Self::Word
            | Self::Digits
            | Self::File
            | Self::Currency
            | Self::Rows
            | Self::Gap => "a value",
        }
    }
}

/// Calls back for each recognised value: its kind and its canonical form.
pub(super) fn recognise(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    let normal = normal(text);
    recognise_in(text, &normal, &Cut::new(&normal), found);
}

/// [`recognise`], where the normal form and its words are at hand.
pub(super) fn recognise_in(
    text: &str,
    normal: &str,
    words: &Cut<'_>,
    found: &mut dyn FnMut(Kind, &str),
) {
    recognise_plain(text, normal, words, found);
    // What a page or a mail client makes of it.
    if let Some(decoded) = without_entities(text) {
        let decoded = visible(&decoded);
        let normal = super::text::normal(&decoded);
        recognise_plain(&decoded, &normal, &Cut::new(&normal), found);
    }
}

fn recognise_plain(text: &str, normal: &str, words: &Cut<'_>, found: &mut dyn FnMut(Kind, &str)) {
    addresses(text, found);
    wallets(text, words, found);
    spelled_out(words, found);
    ideographic(normal, found);
    match with_ascii_digits(normal) {
        Cow::Borrowed(normal) => figures(normal, words, found),
        Cow::Owned(normal) => figures(&normal, &Cut::new(&normal), found),
    }
}

/// What is written with digits.
fn figures(normal: &str, words: &Cut<'_>, found: &mut dyn FnMut(Kind, &str)) {
    if normal.bytes().any(|b| b.is_ascii_digit()) {
        phones(normal, found);
        ibans(normal, found);
        dates(words, found);
        numbers(normal, found);
    }
}

/// Longest text that can be one address, account or telephone number, in bytes.
const WHOLE_BYTES_MAX: usize = 2_048;

/// The kind of a value that is of one kind as a whole, and its canonical form.
pub(super) fn whole(text: &str) -> Option<(Kind, String)> {
    let mut found = Vec::new();
    if text.trim().len() <= WHOLE_BYTES_MAX {
        recognise(text, &mut |kind, canonical| {
            found.push((kind, canonical.to_owned()))
        });
    }
    let found = found.iter().map(|(kind, text)| (*kind, text.as_str()));
    whole_of(text, found).map(|(kind, canonical)| (kind, canonical.to_owned()))
}

/// The same, of what was recognised in the text.
pub(super) fn whole_of<'f>(
    text: &str,
    mut found: impl Iterator<Item = (Kind, &'f str)>,
) -> Option<(Kind, &'f str)> {
    let text = text.trim();
    if text.len() > WHOLE_BYTES_MAX {
        return None;
    }
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let found = found.find(|(kind, canonical)| match kind {
        Kind::Email => {
            let normal = text.to_lowercase();
            *canonical == folded(text, &normal).unwrap_or(normal)
        }
        // `notes.old.md` is a file by itself, and a host only where it would lead somewhere.
        Kind::Name if ends_as_file(canonical) => false,
        // The canonical form may lack the scheme and a slash, and nothing may stand around it.
        Kind::Url | Kind::Name => {
            !text.contains(ends_chunk) && canonical_url(text).as_deref() == Some(*canonical)
        }
        Kind::Iban => {
            text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
                && text.chars().filter(|c| *c != ' ').count() == canonical.len()
        }
        Kind::Phone => {
            text.chars()
                .all(|c| c.is_ascii_digit() || "+-() ".contains(c))
                && digits(text).trim_start_matches('0') == digits(canonical).trim_start_matches('0')
        }
        Kind::Wallet => wallet(text).as_deref() == Some(*canonical),
        _ => false,
    });
    found.map(|(kind, canonical)| (kind.noted(), canonical))
}
