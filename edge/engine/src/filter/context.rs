//! Words near a match, which make it more or less likely to be what it looks like.

use aho_corasick::{AhoCorasick, MatchKind};
use proctor_model::content::ContentClass as Class;
use std::sync::LazyLock;

/// How far before a match words count, in bytes.
pub(super) const BEFORE: usize = 56;
/// How far behind it.
const BEHIND: usize = 24;

/// Beginnings of words that speak for a class, in lower case.
const FOR: &[(Class, &[&str])] = &[
    (
        Class::Phone,
        &[
            "phone",
            "tel",
            "mobile",
            "cell",
            "call ",
            "call me",
            "fax",
            "whatsapp",
            "sms",
            "contact",
            "dial",
            "handy",
            "mobil",
            "celular",
            "móvil",
            "movil",
            "portable",
            "komórk",
            "telefon",
            "téléphone",
            "teléfono",
            "ring me",
            "reach me",
            "reach us",
            "hotline",
            "rufnummer",
            "voicemail",
            "text me",
            "text us",
            "numéro",
            "call us",
        ],
    ),
    (
        Class::PaymentCard,
        &[
            "card",
            "credit",
            "debit",
            "visa",
            "mastercard",
            "amex",
            "american express",
            "maestro",
            "cvv",
            "cvc",
            "pan",
            "diners",
            "discover",
            "jcb",
            "karte",
            "carte",
            "tarjeta",
            "carta",
            "karta",
            "cartão",
            "kreditkart",
            "payment",
        ],
    ),
    (
        Class::Iban,
        &[
            "iban", "account", "konto", "compte", "cuenta", "rekening", "bank",
        ],
    ),
    (
        Class::UsSsn,
        &[
            "ssn",
            "social sec",
            "social-sec",
            "social_sec",
            "socialsec",
            "soc sec",
            "ss#",
            "ss #",
        ],
    ),
    (
        Class::UkNino,
        &[
            "nino",
            "national insurance",
            "ni number",
            "ni no",
            "insurance number",
        ],
    ),
    (
        Class::NlBsn,
        &["bsn", "burgerservice", "sofi", "citizen service"],
    ),
    (
        Class::DeTaxId,
        &[
            "steuer",
            "tax id",
            "tax identification",
            "idnr",
            "id-nr",
            "identifikationsnummer",
            "tin",
            "tax_id",
            "taxid",
            "tax number",
        ],
    ),
    (
        Class::FrNir,
        &[
            "sécurité sociale",
            "securite sociale",
            "nir",
            "sécu",
            "insee",
            "social security",
            "numéro de sécu",
        ],
    ),
    (
        Class::EsDni,
        &["dni", "nie", "nif", "documento nacional", "identidad"],
    ),
    (
        Class::ItCodiceFiscale,
        &[
            "codice fiscale",
            "c.f.",
            "cod. fisc",
            "fiscal code",
            "codfisc",
        ],
    ),
    (Class::PlPesel, &["pesel"]),
    (
        Class::InAadhaar,
        &["aadhaar", "aadhar", "adhaar", "uidai", "uid"],
    ),
    (Class::BrCpf, &["cpf", "cadastro de pessoa", "contribuinte"]),
    (
        Class::EuVat,
        &[
            "vat",
            "ust",
            "umsatzsteuer",
            "tva",
            "iva",
            "btw",
            "mwst",
            "partita iva",
            "p.iva",
            "nip",
            "cif",
            "moms",
            "alv",
            "tax",
            "uid-n",
            "dph",
        ],
    ),
    (
        Class::IpAddress,
        &[
            "ip", "host", "server", "addr", "subnet", "gateway", "client", "dns", "connect",
            "ping", "login", "log in",
        ],
    ),
    (
        Class::MacAddress,
        &["mac", "hardware address", "ethernet", "bssid", "device"],
    ),
    (
        Class::CryptoAddress,
        &[
            "bitcoin", "btc", "ethereum", "eth", "wallet", "crypto", "litecoin", "ltc", "address",
        ],
    ),
    (
        Class::DateOfBirth,
        &[
            "born",
            "birth",
            "dob",
            "d.o.b",
            "geboren",
            "geburt",
            "geb.",
            "naissance",
            "née",
            "né le",
            "nacimiento",
            "nacid",
            "nascita",
            "nato il",
            "nata il",
            "urodz",
            "nascimento",
            "nascid",
            "geboorte",
            "birthday",
            "bday",
        ],
    ),
];

/// Beginnings of words that speak against any number's being personal.
const AGAINST: &[&str] = &[
    "order",
    "invoice",
    "tracking",
    "ticket",
    "sku",
    "serial",
    "isbn",
    "issn",
    "ean",
    "upc",
    "gtin",
    "product",
    "item",
    "model",
    "hash",
    "commit",
    "checksum",
    "build",
    "version",
    "release",
    "firmware",
    "driver",
    "timestamp",
    "epoch",
    "unix",
    "uuid",
    "guid",
    "part n",
    "quantity",
    "shipment",
    "parcel",
    "reference",
    "ref",
    "case n",
    "revision",
    "sha",
    "md5",
    "trace",
    "request id",
    "request_id",
    "requestid",
    "batch",
    "transaction id",
    "transaction_id",
    "receipt",
    "bestell",
    "rechnung",
    "auftrag",
    "commande",
    "facture",
    "pedido",
    "factura",
    "ordine",
    "fattura",
    "artikel",
    "catalog",
    "port",
    "pixel",
    "bytes",
    "line",
    "row",
    "page",
    "article",
    "doi",
    "patent",
    "lot ",
    "lot:",
    "lot_",
    "pmid",
    "arxiv",
    "ordernumber",
    "order_id",
    "id_order",
];

/// What words near a match say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// One bit per class that is spoken for.
    bits: u64,
    against: bool,
}

impl Said {
    /// Whether a word speaks for this class.
    pub(super) fn speaks_for(self, class: Class) -> bool {
        FOR.iter()
            .position(|(known, _)| *known == class)
            .is_some_and(|at| self.bits & bit(at) != 0)
    }

    /// Whether a word speaks against, and none for the class.
    pub(super) fn speaks_against(self, class: Class) -> bool {
        self.against && !self.speaks_for(class)
    }
}

fn bit(at: usize) -> u64 {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u64.checked_shl(at))
        .unwrap_or(0)
}

struct Words {
    automaton: Option<AhoCorasick>,
    bits: Vec<u64>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let classes = FOR.iter().enumerate();
    let speaking =
        classes.flat_map(|(at, (_, words))| words.iter().map(move |word| (*word, bit(at))));
    let against = AGAINST.iter().map(|word| (*word, 0));
    let (words, bits): (Vec<&str>, Vec<u64>) = speaking.chain(against).unzip();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(words)
        .ok();
    Words { automaton, bits }
});

/// What the words around `start..end`, and its key, say.
pub(super) fn near(text: super::text::Text<'_>, start: usize, end: usize) -> Said {
    let mut said = Said::default();
    listen(text.key.as_bytes(), &mut said);
    listen(text.bytes(start.saturating_sub(BEFORE), start), &mut said);
    // Behind, only what speaks for it: what follows may be about the next thing.
    let mut behind = Said::default();
    listen(text.bytes(end, end.saturating_add(BEHIND)), &mut behind);
    said.bits |= behind.bits;
    said
}

fn listen(window: &[u8], said: &mut Said) {
    let words = &*WORDS;
    let Some(automaton) = &words.automaton else {
        return;
    };
    if window.is_empty() {
        return;
    }
    for found in automaton.find_overlapping_iter(window) {
        let before = found.start().checked_sub(1).and_then(|at| window.get(at));
        let first = window.get(found.start());
        let inside = match (before, first) {
            (Some(before), Some(first)) => {
                !before.is_ascii()
                    || (before.is_ascii_alphabetic()
                        && !(before.is_ascii_lowercase() && first.is_ascii_uppercase()))
            }
            _ => false,
        };
        // Short words have to be whole ones: `tel` is not in `tell`.
        let short = found.len() <= 4;
        let after = window.get(found.end());
        let goes_on = after.is_some_and(|b| b.is_ascii_lowercase() && *b != b's');
        if inside || (short && goes_on) {
            continue;
        }
        match words.bits.get(found.pattern().as_usize()) {
            Some(0) | None => said.against = true,
            Some(bits) => said.bits |= bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Text;
    use super::*;

    fn said(text: &str, key: &str) -> Said {
        near(Text { text, key }, text.len(), text.len())
    }

    #[test]
    fn words_count_from_their_beginning() {
        assert!(said("my phone is ", "").speaks_for(Class::Phone));
        assert!(said("", "userPhone").speaks_for(Class::Phone));
        assert!(said("", "user_phone_number").speaks_for(Class::Phone));
        assert!(!said("I tell the hotel that ", "").speaks_for(Class::Phone));
        assert!(said("order no ", "").speaks_against(Class::Phone));
        assert!(!said("order by phone ", "").speaks_against(Class::Phone));
        assert!(!said("in the border region ", "").speaks_against(Class::Phone));
    }
}
