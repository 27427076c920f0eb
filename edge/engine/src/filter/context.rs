//! Words near a match, which make it more or less likely to be what it looks like.

use super::text::Text;
use proctor_model::content::ContentClass as Class;
use std::collections::VecDeque;
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
            "office",
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
            "kort",
            "kortti",
            "luottokort",
            "kreditkort",
            "betalkort",
            "kredietkaart",
            "betaalkaart",
            "kart",
            "kártya",
            "bankkártya",
            "κάρτα",
            "Κάρτα",
            "カード",
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
            "né(e)",
            "fødselsdato",
            "fødsel",
            "født",
            "födelsedatum",
            "född",
            "syntymäaika",
            "syntynyt",
            "narozen",
            "születés",
            "született",
            "nașterii",
            "născut",
            "doğum",
            "γέννησης",
            "γεννηθ",
            "生年月日",
            "誕生日",
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
    "barcode",
    "strichcode",
    "oid",
];

/// What words near a match say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// One bit per class that is spoken for.
    bits: u64,
    against: bool,
}

impl Said {
    fn and(self, other: Self) -> Self {
        Self {
            bits: self.bits | other.bits,
            against: self.against || other.against,
        }
    }

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

/// Words by their first two letters.
struct Words {
    /// One bit for each bucket that is not empty: that most are is soon known.
    present: [u64; BUCKETS / 64],
    buckets: Vec<Vec<(&'static [u8], u64)>>,
}

impl Words {
    fn beginning(&self, pair: [u8; 2]) -> &[(&'static [u8], u64)] {
        let at = bucket(pair);
        let bits = self.present.get(at / 64).copied().unwrap_or(0);
        let words = self.buckets.get(at).filter(|_| bits & bit(at % 64) != 0);
        words.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Buckets of [`Words`]: five bits of each of two letters.
const BUCKETS: usize = 1024;

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let classes = FOR.iter().enumerate();
    let speaking =
        classes.flat_map(|(at, (_, words))| words.iter().map(move |word| (*word, bit(at))));
    let mut present = [0; BUCKETS / 64];
    let mut buckets = vec![Vec::new(); BUCKETS];
    for (word, bits) in speaking.chain(AGAINST.iter().map(|word| (*word, 0))) {
        let word = word.as_bytes();
        let at = word
            .split_first_chunk()
            .map_or(0, |(pair, _)| bucket(*pair));
        if let (Some(bucket), Some(bits_there)) = (buckets.get_mut(at), present.get_mut(at / 64)) {
            bucket.push((word, bits));
            *bits_there |= bit(at % 64);
        }
    }
    Words { present, buckets }
});

fn bucket([first, second]: [u8; 2]) -> usize {
    usize::from(first & 31) << 5 | usize::from(second & 31)
}

/// A word that was heard: where it stands, and what it says.
#[derive(Clone, Copy)]
struct Word {
    start: usize,
    end: usize,
    said: Said,
}

/// Listens along a text, to no part of it twice.
pub(super) struct Ear<'t> {
    text: Text<'t>,
    /// What the text's key says.
    key: Option<Said>,
    words: VecDeque<Word>,
    /// Words that begin before this were heard.
    heard: usize,
}

/// Words so far before a place are kept in mind: one may ask a little further back than before.
const KEPT: usize = 112;

impl<'t> Ear<'t> {
    pub(super) fn new(text: Text<'t>) -> Self {
        Self {
            text,
            key: None,
            words: VecDeque::new(),
            heard: 0,
        }
    }

    /// What the words around `start..end`, and the text's key, say.
    pub(super) fn near(&mut self, start: usize, end: usize) -> Said {
        let until = end.saturating_add(BEHIND);
        self.hear(start, until);
        let mut said = self.key();
        let from = start.saturating_sub(BEFORE);
        for word in &self.words {
            if word.start >= from && word.end <= start {
                said = said.and(word.said);
            } else if word.start >= end && word.end <= until {
                // Behind, only what speaks for it: what follows may be about the next thing.
                said.bits |= word.said.bits;
            }
        }
        said
    }

    fn key(&mut self) -> Said {
        if let Some(said) = self.key {
            return said;
        }
        let key = self.text.key.as_bytes();
        let mut said = Said::default();
        for at in 0..key.len() {
            words_at(key, at, &mut |_, word| said = said.and(word));
        }
        self.key = Some(said);
        said
    }

    fn hear(&mut self, start: usize, until: usize) {
        let bytes = self.text.text.as_bytes();
        let words = &mut self.words;
        while words
            .front()
            .is_some_and(|word| word.start.saturating_add(KEPT) < start)
        {
            words.pop_front();
        }
        // What lies far back is of no interest.
        let from = self.heard.max(start.saturating_sub(KEPT));
        let until = until.min(bytes.len());
        for at in from..until {
            words_at(bytes, at, &mut |end, said| {
                words.push_back(Word {
                    start: at,
                    end,
                    said,
                });
            });
        }
        self.heard = from.max(until);
    }
}

/// What the words that begin at this place say.
pub(super) fn at(text: Text<'_>, at: usize) -> Said {
    let mut said = Said::default();
    words_at(text.text.as_bytes(), at, &mut |_, word| {
        said = said.and(word)
    });
    said
}

/// Tells of each word that begins at `at`: its end, and what it says.
#[inline]
fn words_at(text: &[u8], at: usize, heard: &mut impl FnMut(usize, Said)) {
    let pair = text.get(at..).and_then(|rest| rest.first_chunk::<2>());
    let words = pair.map_or(&[][..], |pair| WORDS.beginning(*pair));
    if words.is_empty() || is_inside(text, at) {
        return;
    }
    for (word, bits) in words {
        let end = at.saturating_add(word.len());
        let here = text.get(at..end).unwrap_or_default();
        // Short words have to be whole ones: `tel` is not in `tell`.
        let after = text.get(end);
        let goes_on = after.is_some_and(|b| b.is_ascii_lowercase() && *b != b's');
        if here.eq_ignore_ascii_case(word) && !(word.len() <= 4 && goes_on) {
            let (bits, against) = (*bits, *bits == 0);
            heard(end, Said { bits, against });
        }
    }
}

/// Whether what stands at `at` does not begin a word: `userPhone` has two of them.
fn is_inside(text: &[u8], at: usize) -> bool {
    let (Some(before), Some(first)) = (at.checked_sub(1).and_then(|at| text.get(at)), text.get(at))
    else {
        return false;
    };
    let hump = before.is_ascii_lowercase() && first.is_ascii_uppercase();
    !before.is_ascii() || (before.is_ascii_alphabetic() && !hump)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, key: &str) -> Said {
        Ear::new(Text { text, key }).near(text.len(), text.len())
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
