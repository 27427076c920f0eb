//! What the filter can find.

use std::fmt;

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident $code:literal $label:literal $rank:literal,)+) => {
        /// A kind of personal data or credential.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Class {
            $($(#[doc = $doc])+ $name,)+
            /// A class that the tenant defined: its place in the rules. [`Filter::code`](super::Filter::code) names it.
            Tenant(u16),
        }

        impl Class {
            /// All built-in classes.
            pub const BUILT_IN: &[Self] = &[$(Self::$name,)+];

            /// The name in rules, metrics and audit events. `tenant` stands for all of a tenant's own.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ Self::Tenant(_) => "tenant" }
            }

            /// What stands in a redacted text, within brackets.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ Self::Tenant(_) => "REDACTED" }
            }

            /// Which of two findings that begin at one place is kept: the higher.
            pub(super) const fn rank(self) -> u8 {
                match self { $(Self::$name => $rank,)+ Self::Tenant(_) => 9 }
            }
        }
    };
}

classes! {
    /// An e-mail address.
    Email "email" "EMAIL" 4,
    /// A telephone number, international or in a national form.
    Phone "phone" "PHONE" 2,
    /// An international bank account number.
    Iban "iban" "IBAN" 5,
    /// A payment card number.
    Card "card" "CARD" 5,
    /// A social security number of the United States.
    UsSsn "us_ssn" "US_SSN" 4,
    /// A national insurance number of the United Kingdom.
    UkNino "uk_nino" "UK_NINO" 4,
    /// A Dutch citizen service number.
    NlBsn "nl_bsn" "NL_BSN" 3,
    /// A German tax identification number.
    DeTaxId "de_tax_id" "DE_TAX_ID" 4,
    /// A French social security number.
    FrNir "fr_nir" "FR_NIR" 4,
    /// A Spanish identity number, for citizens (DNI) or foreigners (NIE).
    EsDni "es_dni" "ES_DNI" 4,
    /// An Italian tax code.
    ItCodiceFiscale "it_codice_fiscale" "IT_CODICE_FISCALE" 4,
    /// A Polish identity number.
    PlPesel "pl_pesel" "PL_PESEL" 3,
    /// An Indian identity number.
    InAadhaar "in_aadhaar" "IN_AADHAAR" 3,
    /// A Brazilian taxpayer number.
    BrCpf "br_cpf" "BR_CPF" 4,
    /// A value-added tax number of the European Union.
    EuVat "eu_vat" "EU_VAT" 3,
    /// The machine-readable zone of a passport or identity card.
    Mrz "mrz" "MRZ" 6,
    /// An IPv4 or IPv6 address.
    IpAddress "ip_address" "IP_ADDRESS" 3,
    /// A hardware address of a network interface.
    MacAddress "mac_address" "MAC_ADDRESS" 4,
    /// A Bitcoin or Ethereum address.
    CryptoAddress "crypto_address" "CRYPTO_ADDRESS" 5,
    /// A date of birth, told by the words beside it.
    BirthDate "birth_date" "BIRTH_DATE" 3,
    /// An access key of Amazon Web Services.
    AwsKey "aws_key" "AWS_KEY" 7,
    /// A key or token of Google Cloud.
    GcpKey "gcp_key" "GCP_KEY" 7,
    /// A key, signature or client secret of Azure.
    AzureKey "azure_key" "AZURE_KEY" 7,
    /// A token of GitHub.
    GithubToken "github_token" "GITHUB_TOKEN" 7,
    /// A token of GitLab.
    GitlabToken "gitlab_token" "GITLAB_TOKEN" 7,
    /// A token or web hook of Slack.
    SlackToken "slack_token" "SLACK_TOKEN" 7,
    /// A key of Stripe.
    StripeKey "stripe_key" "STRIPE_KEY" 7,
    /// A key of OpenAI.
    OpenaiKey "openai_key" "OPENAI_KEY" 7,
    /// A key of Anthropic.
    AnthropicKey "anthropic_key" "ANTHROPIC_KEY" 7,
    /// A key or account identifier of Twilio.
    TwilioKey "twilio_key" "TWILIO_KEY" 7,
    /// A key of SendGrid.
    SendgridKey "sendgrid_key" "SENDGRID_KEY" 7,
    /// A token of the npm registry.
    NpmToken "npm_token" "NPM_TOKEN" 7,
    /// A token of the Python package index.
    PypiToken "pypi_token" "PYPI_TOKEN" 7,
    /// A token of Hugging Face.
    HuggingFaceToken "hugging_face_token" "HUGGING_FACE_TOKEN" 7,
    /// A JSON web token.
    Jwt "jwt" "JWT" 7,
    /// A private key in PEM form.
    PrivateKey "private_key" "PRIVATE_KEY" 8,
    /// A user and password in an URL.
    UrlCredentials "url_credentials" "URL_CREDENTIALS" 6,
    /// A connection string of a database or broker, with its password.
    ConnectionString "connection_string" "CONNECTION_STRING" 7,
    /// Any other secret, told by its name: `password=…`, `api_key: …`.
    GenericSecret "generic_secret" "SECRET" 1,
    /// Characters that no reader sees: Unicode tags, or long runs of zero width.
    HiddenText "hidden_text" "HIDDEN_TEXT" 9,
}

/// Not the name of a class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such class")]
pub struct UnknownClass;

impl std::str::FromStr for Class {
    type Err = UnknownClass;

    fn from_str(code: &str) -> Result<Self, UnknownClass> {
        Self::BUILT_IN
            .iter()
            .copied()
            .find(|class| class.code() == code)
            .ok_or(UnknownClass)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A set of classes. Built-in ones have a bit each; a tenant's own are always in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClassSet(u64);

impl ClassSet {
    /// No class.
    pub const NONE: Self = Self(0);
    /// Every class.
    pub const ALL: Self = Self(u64::MAX);

    const fn bit(class: Class) -> u64 {
        let mut bit = 1_u64;
        let mut rest = Class::BUILT_IN;
        while let [first, tail @ ..] = rest {
            if first.rank() == class.rank() && same(first.code(), class.code()) {
                return bit;
            }
            bit = bit.wrapping_shl(1);
            rest = tail;
        }
        1 << 63
    }

    /// Both this set and the class.
    #[must_use]
    pub const fn with(self, class: Class) -> Self {
        Self(self.0 | Self::bit(class))
    }

    /// This set without the class.
    #[must_use]
    pub const fn without(self, class: Class) -> Self {
        Self(self.0 & !Self::bit(class))
    }

    /// Whether the class is in the set.
    #[must_use]
    pub const fn has(self, class: Class) -> bool {
        self.0 & Self::bit(class) != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
