//! What the content filter looks for, and what a tenant wants done about it.

use crate::catalogue::Verb;
use serde::{Deserialize, Serialize};

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal, $group:ident;)+) => {
        /// A class of content that the filter knows by itself.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ContentClass { $($(#[$doc])* $name,)+ }

        impl ContentClass {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name, as in rules, audit events and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What stands in place of a redacted value, without its brackets.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// What kind of class it is.
            #[must_use]
            pub fn group(self) -> ContentGroup {
                match self { $(Self::$name => ContentGroup::$group,)+ }
            }
        }
    };
}

/// A group of classes, which rules may name instead of each class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContentGroup {
    /// Says something about a person.
    Personal,
    /// Opens something.
    Credentials,
}

impl ContentGroup {
    /// Name as in rules.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Credentials => "credentials",
        }
    }
}

classes! {
    /// An e-mail address.
    Email = "email", "EMAIL", Personal;
    /// A telephone number, international or in a national form of the tenant's regions.
    Phone = "phone", "PHONE", Personal;
    /// An IBAN whose country, length and check digits are right.
    Iban = "iban", "IBAN", Personal;
    /// A payment card number (range, length, Luhn).
    PaymentCard = "payment_card", "CARD", Personal;
    /// A US social security number.
    UsSsn = "us_ssn", "SSN", Personal;
    /// A UK national insurance number.
    UkNino = "uk_nino", "NINO", Personal;
    /// A Dutch citizen service number.
    NlBsn = "nl_bsn", "BSN", Personal;
    /// A German tax identification number.
    DeTaxId = "de_tax_id", "TAX_ID", Personal;
    /// A French social security number.
    FrNir = "fr_nir", "NIR", Personal;
    /// A Spanish DNI or NIE.
    EsDni = "es_dni", "DNI", Personal;
    /// An Italian codice fiscale.
    ItCodiceFiscale = "it_codice_fiscale", "CODICE_FISCALE", Personal;
    /// A Polish PESEL.
    PlPesel = "pl_pesel", "PESEL", Personal;
    /// An Indian Aadhaar number.
    InAadhaar = "in_aadhaar", "AADHAAR", Personal;
    /// A Brazilian CPF.
    BrCpf = "br_cpf", "CPF", Personal;
    /// A VAT number of an EU member state.
    EuVat = "eu_vat", "VAT_ID", Personal;
    /// The machine-readable zone of a passport or identity card.
    PassportMrz = "passport_mrz", "MRZ", Personal;
    /// An IPv4 or IPv6 address.
    IpAddress = "ip_address", "IP", Personal;
    /// A hardware address of a network card.
    MacAddress = "mac_address", "MAC", Personal;
    /// A bitcoin, ethereum or similar address whose checksum is right.
    CryptoAddress = "crypto_address", "CRYPTO", Personal;
    /// A date that words near it call a date of birth.
    DateOfBirth = "date_of_birth", "BIRTH_DATE", Personal;

    /// An AWS access key id or secret access key.
    AwsKey = "aws_key", "AWS_KEY", Credentials;
    /// A Google API key, OAuth secret or access token.
    GcpKey = "gcp_key", "GCP_KEY", Credentials;
    /// An Azure storage or service key, or client secret.
    AzureKey = "azure_key", "AZURE_KEY", Credentials;
    /// A GitHub token.
    GithubToken = "github_token", "GITHUB_TOKEN", Credentials;
    /// A GitLab token.
    GitlabToken = "gitlab_token", "GITLAB_TOKEN", Credentials;
    /// A Slack token or webhook.
    SlackToken = "slack_token", "SLACK_TOKEN", Credentials;
    /// A Stripe key.
    StripeKey = "stripe_key", "STRIPE_KEY", Credentials;
    /// An OpenAI key.
    OpenaiKey = "openai_key", "OPENAI_KEY", Credentials;
    /// An Anthropic key.
    AnthropicKey = "anthropic_key", "ANTHROPIC_KEY", Credentials;
    /// A Twilio account or API key id.
    TwilioKey = "twilio_key", "TWILIO_KEY", Credentials;
    /// A `SendGrid` key.
    SendgridKey = "sendgrid_key", "SENDGRID_KEY", Credentials;
    /// An npm token.
    NpmToken = "npm_token", "NPM_TOKEN", Credentials;
    /// A PyPI token.
    PypiToken = "pypi_token", "PYPI_TOKEN", Credentials;
    /// A Hugging Face token.
    HuggingfaceToken = "huggingface_token", "HF_TOKEN", Credentials;
    /// A JSON Web Token.
    Jwt = "jwt", "JWT", Credentials;
    /// A private key in PEM form.
    PrivateKey = "private_key", "PRIVATE_KEY", Credentials;
    /// The password in a URL (`scheme://user:password@host`).
    UrlCredentials = "url_credentials", "PASSWORD", Credentials;
    /// The password or key in a connection string.
    ConnectionString = "connection_string", "PASSWORD", Credentials;
    /// A value that its name calls a password, key or token, and that looks like one.
    GenericSecret = "generic_secret", "SECRET", Credentials;
}

impl ContentClass {
    /// The class of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|class| class.as_str() == name)
    }
}

/// Which way something goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the agent towards tools and LLM providers.
    Outbound,
    /// Back to the agent.
    Inbound,
}

impl Direction {
    /// Name as in rules, audit events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// How sure the filter is of a match.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The form alone, which other things have too.
    Low,
    /// Form and check digits, or form and words near it. The default threshold of rules.
    #[default]
    Medium,
    /// Nothing else looks like this.
    High,
}

impl Confidence {
    /// Name as in rules.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What is done about a match.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum ContentAction {
    /// It passes, unmentioned.
    Allow,
    /// It passes and is counted.
    #[default]
    Count,
    /// Its letters and digits but the last four become `*`.
    Mask,
    /// A placeholder of the same form stands in for it, the same one for the whole session.
    Tokenise,
    /// `[EMAIL]` or the like stands in for it.
    Redact,
    /// The call waits for a person; an answer is withheld.
    Escalate,
    /// The call is refused; an answer is withheld.
    Block,
}

impl ContentAction {
    /// Name as in rules, audit events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Count => "count",
            Self::Mask => "mask",
            Self::Tokenise => "tokenise",
            Self::Redact => "redact",
            Self::Escalate => "escalate",
            Self::Block => "block",
        }
    }
}

/// One rule: of the rules that fit a match, the first decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentRule {
    /// Names of classes, of the tenant's own patterns and word lists, `personal`, `credentials`, `custom` or `all`.
    pub classes: Vec<String>,
    /// Which way; absent: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Tools as `server/tool` with `*`; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Verbs of the catalogue; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<Verb>,
    /// Matches that are less sure are not meant.
    #[serde(default)]
    pub min_confidence: Confidence,
    /// What is done.
    pub action: ContentAction,
}

/// Where placeholders are put back: a tool that may see what they stand for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentReveal {
    /// As in [`ContentRule::classes`].
    pub classes: Vec<String>,
    /// Tools as `server/tool` with `*`.
    pub tools: Vec<String>,
}

/// A pattern of the tenant's own, a class by its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentPattern {
    /// Lower case letters, digits and `_`; not the name of a class.
    pub name: String,
    /// A regular expression (syntax of the Rust `regex` crate: linear time, no look-around, no back-references). It is
    /// searched anywhere in the text; one that matches the empty text is refused.
    pub regex: String,
    /// Words of which one has to stand near a match; empty: none has to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
}

/// Words and phrases of the tenant's own, a class by its name. Found as whole words, in any case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentWords {
    /// As [`ContentPattern::name`].
    pub name: String,
    /// The words.
    pub words: Vec<String>,
}

/// A tenant's content rules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentRules {
    /// Whether the standard rules hold where none of `rules` fits.
    pub standard: bool,
    /// The tenant's rules, in order.
    pub rules: Vec<ContentRule>,
    /// Where placeholders are put back.
    pub reveal: Vec<ContentReveal>,
    /// Patterns of its own.
    pub patterns: Vec<ContentPattern>,
    /// Word lists of its own.
    pub words: Vec<ContentWords>,
    /// Regions (`US`, `GB`, …) whose national telephone numbers are recognised; empty: those of the larger
    /// English-speaking, EU and other countries that the filter has national ids of.
    pub phone_regions: Vec<String>,
}

impl Default for ContentRules {
    fn default() -> Self {
        Self {
            standard: true,
            rules: Vec::new(),
            reveal: Vec::new(),
            patterns: Vec::new(),
            words: Vec::new(),
            phone_regions: Vec::new(),
        }
    }
}

impl ContentRules {
    /// Whether it says nothing of its own.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What was found of one class, going one way, and what was done about it. Never a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentFinding {
    /// What was done.
    pub action: ContentAction,
    /// Name of the class.
    pub class: String,
    /// How many.
    pub count: u32,
    /// Which way.
    pub direction: Direction,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_labels_are_plain() {
        let names: HashSet<_> = ContentClass::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), ContentClass::ALL.len());
        for class in ContentClass::ALL {
            assert_eq!(ContentClass::from_name(class.as_str()), Some(*class));
            assert!(
                class
                    .label()
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'_')
            );
        }
    }

    #[test]
    fn an_empty_document_is_the_standard() {
        let rules: ContentRules = serde_json::from_str("{}").unwrap();
        assert!(rules.is_default() && rules.standard);
        assert!(serde_json::from_str::<ContentRules>(r#"{"standart": true}"#).is_err());
    }
}
