//! Secrets that only their name gives away: `password = …`, `api_key: …`, `Authorization: …`. Where the value behind a name
//! begins and ends; whether it can be one [`credible`](super::credible) knows, by the value alone, and what a
//! [`scheme`](super::scheme) is.

use super::code;
use super::credible::{credible, is_words, placeholder, sure};
use super::names::{Kind, is_variable, kind_of, name_before};
use super::scheme::{
    Scheme, behind_any, behind_known, behind_other, is_login, is_of_sentence, is_scheme, may_follow,
};
use super::text::Text;
use proctor_model::content::{Confidence, ContentClass as Class};

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 2048;
/// By so much of it a longer one without quotes is judged, in bytes. Where assignments follow each other without a blank
/// (`token=token=…`), each of them reads what the next ones read again.
const JUDGED_BYTES_MAX: usize = 128;
/// Most blanks at the ends of a line, in bytes.
const INDENT_BYTES_MAX: usize = 64;
/// How far from a `sig` the other members of a shared access signature are looked for, in bytes.
const SAS_BYTES_MAX: usize = 256;

/// What stands around a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// Perhaps a program, where it may be an expression.
    Code,
    /// A command: it is its argument.
    Command,
    /// The name of a variable of the environment and an equals sign: `DB_PASSWORD=`.
    Variable,
    /// Such a name at the beginning of its line, and a colon: `DB_PASSWORD: `, as settings in YAML have it. They have the
    /// value alone in the rest of the line; a program has more there.
    Setting,
}

/// The secret that is assigned at `at`, where a `:` or `=` stands.
pub(super) fn assigned(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let name_end = text.run_back(at, 4, |b| {
        matches!(b, b' ' | b'"' | b'\'' | b'\\' | b'`' | b']' | b')' | b'*')
    });
    let (name_start, name) = name_before(text, name_end);
    let kind = match kind_of(name) {
        Some(kind) => kind,
        None if name == "sig" && in_shared_access(text, name_start, at) => Kind::Key,
        None => {
            let (kind, value_at) = code::declared(text, at)?;
            return value(text, value_at, kind, Site::Code);
        }
    };
    let mut from = at.saturating_add(1);
    let joined = name_end == at && text.at(at) == b'=';
    let site = match joined {
        true if is_variable(name) => Site::Variable,
        true if name.starts_with("--") => Site::Command,
        _ if name_end == at && is_variable(name) && begins_line(text, name_start) => Site::Setting,
        _ => Site::Code,
    };
    let compared = text.bytes(at, at.saturating_add(2)) == b"==";
    // `:=`, `==`, `=>`
    if matches!(text.at(from), b'=' | b'>') {
        from = from.saturating_add(1);
    }
    let value_at = text.run(from, 8, |b| matches!(b, b' ' | b'\t' | b'*'));
    value(text, value_at, kind, site).or_else(|| {
        let value_at = code::otherwise(text, value_at).filter(|_| !compared)?;
        value(text, value_at, kind, Site::Code)
    })
}

/// Whether nothing stands before `at` in its line but what begins an element of a list.
fn begins_line(text: Text<'_>, at: usize) -> bool {
    let start = text.run_back(at, INDENT_BYTES_MAX, |b| matches!(b, b' ' | b'\t' | b'-'));
    matches!(text.before(start), b'\n' | 0)
}

/// Whether nothing stands behind `at` in its line but a comment.
fn ends_line(text: Text<'_>, at: usize) -> bool {
    let next = text.run(at, INDENT_BYTES_MAX, |b| matches!(b, b' ' | b'\t'));
    matches!(text.at(next), b'\r' | b'\n' | b'#' | 0)
}

/// Whether what stands in `start..end` without quotation marks is a key, where any word stands before it, at `at`.
/// Programs and sentences have words and names there, too (`authorization = await client2.token`): so it looks like
/// nothing that people write, or a colon says that this is a header, and nothing follows.
fn in_header(text: Text<'_>, at: usize, (start, end): (usize, usize)) -> bool {
    let sign = text.run_back(at, INDENT_BYTES_MAX, |b| matches!(b, b' ' | b'\t' | b'*'));
    let closed = matches!(text.at(end), b'"' | b'\'' | b'`' | b'\\');
    let is_last = closed || ends_line(text, end);
    let is_line = text.before(sign) == b':' && is_last && !is_of_sentence(text.from(at));
    is_line || !code::is_orderly(text.bytes(start, end))
}

/// The whole text as the value of the member that is named by its key.
pub(super) fn keyed(text: Text<'_>) -> Option<(usize, usize, Class, Confidence)> {
    let kind = kind_of(text.key)?;
    let (start, length, class, sure) = bare(text.text, kind)?;
    Some((start, start.saturating_add(length), class, sure))
}

/// A text that is a value and nothing else: where it begins behind blanks, and how long it is.
pub(super) fn bare(whole: &str, kind: Kind) -> Option<(usize, usize, Class, Confidence)> {
    let start = whole.len().saturating_sub(whole.trim_start().len());
    let whole = whole.trim();
    let (behind, scheme) = match kind {
        Kind::Header => behind_any(whole),
        _ => (0, Scheme::Known),
    };
    let start = start.saturating_add(behind);
    let (word, value) = whole.split_at_checked(behind)?;
    let one = value.len() <= VALUE_BYTES_MAX && !value.contains(char::is_whitespace);
    let fits = || match scheme {
        Scheme::Known => credible(value, kind, true) || is_login(word, value),
        Scheme::Other => may_follow(value),
    };
    if !one || placeholder(value) || !fits() {
        return None;
    }
    Some((start, value.len(), class_of(kind), sure(value, kind, true)))
}

pub(super) fn value(
    text: Text<'_>,
    at: usize,
    kind: Kind,
    site: Site,
) -> Option<(usize, usize, Class, Confidence)> {
    let plain = value_behind(text, at, kind, site, Scheme::Known);
    plain.or_else(|| match kind {
        Kind::Header => value_behind(text, at, kind, site, Scheme::Other),
        _ => None,
    })
}

/// The value at `at`, perhaps behind the name of a scheme.
fn value_behind(
    text: Text<'_>,
    at: usize,
    kind: Kind,
    site: Site,
    scheme: Scheme,
) -> Option<(usize, usize, Class, Confidence)> {
    let mut start = code::literal(text, at);
    // JSON inside of JSON has its quotes escaped.
    let slashes = text.run(start, 3, |b| b == b'\\').saturating_sub(start);
    let opened = start.saturating_add(slashes);
    let quote = text.at(opened);
    let quoted = matches!(quote, b'"' | b'\'' | b'`');
    if quoted {
        start = opened.saturating_add(1);
    }
    let is_key = matches!(kind, Kind::Key | Kind::Header);
    let (behind, proves) = match scheme {
        Scheme::Known => behind_known(text.from(start)),
        Scheme::Other => (behind_other(text.from(start))?, quoted),
    };
    let word = text.slice(start, start.saturating_add(behind));
    start = start.saturating_add(behind);
    let proves = proves && is_key;
    let stop = |b: u8| match quoted {
        true => b == quote || b == b'\n' || b == b'\\' && slashes > 0,
        false => {
            b.is_ascii_whitespace()
                || matches!(
                    b,
                    b',' | b';' | b'"' | b'\'' | b'&' | b'<' | b'>' | b')' | b'}' | b']' | 0
                )
        }
    };
    let mut end = text.run(start, JUDGED_BYTES_MAX, |b| !stop(b));
    let is_long = end.saturating_sub(start) >= JUDGED_BYTES_MAX;
    let is_password = matches!(kind, Kind::Password | Kind::Pass | Kind::Connection);
    let in_connection = |end: usize| is_password && in_connection_string(text, at, end);
    let is_code = |end: usize| {
        let is_setting = site == Site::Setting && ends_line(text, end);
        let is_variable = site == Site::Variable || is_setting;
        let is_type = || is_key && !is_variable && code::is_type(text.slice(start, end));
        !quoted
            && !proves
            && site != Site::Command
            && (code::is_expression(text, start, end, kind, is_variable) || is_type())
            && !in_connection(end)
    };
    let is_secret = |end: usize| {
        let end = text.text.floor_char_boundary(end);
        let value = text.slice(start, end);
        let words = !quoted && site == Site::Variable && is_words(value, kind);
        let fits = match scheme {
            Scheme::Known => {
                let may_be_name = kind == Kind::Header && behind == 0;
                let is_name = may_be_name && is_scheme(value, text.from(start));
                let is_login = || is_key && is_login(word, value);
                words || credible(value, kind, quoted) && !is_name || is_login()
            }
            Scheme::Other => may_follow(value) && (quoted || in_header(text, at, (start, end))),
        };
        !placeholder(value) && fits && !is_code(end)
    };
    if is_long {
        if !quoted && !is_secret(end) {
            return None;
        }
        let more = VALUE_BYTES_MAX.saturating_sub(JUDGED_BYTES_MAX);
        end = text.run(end, more, |b| !stop(b));
        end = text.text.floor_char_boundary(end);
    }
    if !quoted {
        while matches!(text.before(end), b'.' | b':' | b'!' | b'?') && end > start {
            end = end.saturating_sub(1);
        }
    }
    let value = text.slice(start, end);
    if quoted && text.at(end) != quote && text.at(end) != b'\\' && end < text.len() {
        return None;
    }
    if (quoted || !is_long) && !is_secret(end) {
        return None;
    }
    let kind = match in_connection(end) {
        true => Kind::Connection,
        false => kind,
    };
    Some((start, end, class_of(kind), sure(value, kind, quoted)))
}

fn class_of(kind: Kind) -> Class {
    match kind {
        Kind::Password | Kind::Pass | Kind::Key | Kind::Header => Class::GenericSecret,
        Kind::Aws => Class::AwsKey,
        Kind::Azure => Class::AzureKey,
        Kind::Connection => Class::ConnectionString,
        Kind::Npm => Class::NpmToken,
    }
}

/// `Server=db;User Id=x;Password=…;`: other members stand beside it.
fn in_connection_string(text: Text<'_>, start: usize, end: usize) -> bool {
    let around = text.bytes(start.saturating_sub(96), start);
    let parted = text.at(end) == b';' || around.contains(&b';');
    if !parted || !around.contains(&b'=') {
        return false;
    }
    let lower = String::from_utf8_lossy(around).to_ascii_lowercase();
    let members = [
        "server=",
        "data source=",
        "host=",
        "uid=",
        "user id=",
        "user=",
        "database=",
        "endpoint=",
    ];
    members.iter().any(|member| lower.contains(member))
}

/// Whether a `sig` is that of an Azure shared access signature, beside which the version of the service stands. Other
/// signatures prove something and give nothing away.
fn in_shared_access(text: Text<'_>, start: usize, end: usize) -> bool {
    let member = |b: u8| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'<' | b'>');
    let near = text.bytes(
        start.saturating_sub(SAS_BYTES_MAX),
        end.saturating_add(SAS_BYTES_MAX),
    );
    // Looked for first, as this takes the least time.
    if memchr::memmem::find(near, b"sv=").is_none() {
        return false;
    }
    let from = text.run_back(start, SAS_BYTES_MAX, member);
    let to = text.run(end, SAS_BYTES_MAX, member);
    let mut members = text
        .bytes(from, to)
        .split(|b| matches!(b, b'?' | b'&' | b';'));
    members.any(|member| member.starts_with(b"sv="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<&str> {
        let text_ = Text { text, key: "" };
        memchr::memchr2_iter(b'=', b':', text.as_bytes())
            .find_map(|at| assigned(text_, at))
            .map(|(a, b, ..)| &text[a..b])
    }

    #[test]
    fn names_give_values_away() {
        for (text, expect) in [
            ("password = \"hunter22\"", Some("hunter22")),
            ("DB_PASSWORD=s3cr3t-Pa55", Some("s3cr3t-Pa55")),
            (
                "api_key: 9f8e7d6c5b4a39281706",
                Some("9f8e7d6c5b4a39281706"),
            ),
            (
                r#"{"client_secret":"Zx81qLmP09aBcD"}"#,
                Some("Zx81qLmP09aBcD"),
            ),
            (
                r#"{\"token\": \"Zx81qLmP09aBcD77\"}"#,
                Some("Zx81qLmP09aBcD77"),
            ),
            (
                "Credential=AKIAIOSFODNN7EXAMPLE/20241129/us-east-1/s3/aws4_request, x",
                None,
            ),
            (
                "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20241129%2Fus-east-1%2Fs3%2Faws4_request&x",
                None,
            ),
            (
                "Credential=Zx81qLmP09aBcD77tR4w/aws4_request",
                Some("Zx81qLmP09aBcD77tR4w/aws4_request"),
            ),
            ("token: ApiKey Zx81qLmP09aBcD77", None),
            ("password_prod = s3cr3t-Pa55", Some("s3cr3t-Pa55")),
            ("password1: 'hunter22'", Some("hunter22")),
            ("password_policy: 'hunter22'", None),
            ("Password: correct the field", None),
            ("password = os.environ['X']", None),
            ("password: ${DB_PASSWORD}", None),
            ("token_type: bearer", None),
            ("max_tokens: 4096123456", None),
            ("secret: the garden behind", None),
            (r#"{"password": "Passwort"}"#, None),
            (r#"{"newPassword": "Contraseña:"}"#, None),
            (r#"{"password": "Passwort1"}"#, Some("Passwort1")),
            ("'password' => 'hashed',", None),
            ("RESET_PASSWORD = 'RESET_PASSWORD'", None),
            ("forgot_password: '/forgot-password',", None),
            ("forgot_password: /forgot-password", None),
            ("\"password\": \"#password\"", None),
            ("\"password\": \"auth.password.label\"", None),
            ("\"password\": \"Enter your password\"", None),
            ("\"password\": \"密碼\"", None),
            ("\"password\": \"Mot de passe oublié\"", None),
            ("password: पासवर्ड", None),
            (r#"{"password": "\u5bc6\u7801"}"#, None),
            ("password = \"hunter2\"", Some("hunter2")),
            ("password = \"Summer2024!\"", Some("Summer2024!")),
            ("password = 'letmein'", Some("letmein")),
            ("password = 'mypassword'", Some("mypassword")),
            ("\"password\": \"AdminPassword\"", Some("AdminPassword")),
            (
                "MYSQL_ROOT_PASSWORD: \"root-password\"",
                Some("root-password"),
            ),
            (
                "DB_PASSWORD=\"super-secret-password\"",
                Some("super-secret-password"),
            ),
            (
                "POSTGRES_PASSWORD=Postgres_Password",
                Some("Postgres_Password"),
            ),
            ("PASSWORD=TOP_SECRET", Some("TOP_SECRET")),
            (
                "Server=db;User Id=sa;Password=MyPassword;",
                Some("MyPassword"),
            ),
            ("password: \"Müller1848\"", Some("Müller1848")),
            (
                "password: \"Schmetterlingsflügel\"",
                Some("Schmetterlingsflügel"),
            ),
            (
                r#"{"password": "МояСекретнаяФраза"}"#,
                Some("МояСекретнаяФраза"),
            ),
            ("api_key = get_key()", None),
            ("const token = localStorage.getItem(\"token\")", None),
            ("password: hashedPassword,", None),
            ("password = get_password()", None),
            ("password: z.string().min(8)", None),
            ("password = models.CharField(max_length=128)", None),
            ("accessToken = tokenProvider.createAccessToken(user)", None),
            ("password: SecretString", None),
            ("password: DataTypes.STRING", None),
            ("password = config2[\"db\"][\"password\"]", None),
            ("password = $this->password1", None),
            ("login(user, password=DB_PASSWORD)", None),
            ("WHERE password = @Password", None),
            ("token: OAuth2TokenResponse", None),
            ("token = oauth2Client.credentials.accessToken", None),
            ("token = Zx81qLmP09aBcD77tR4w", Some("Zx81qLmP09aBcD77tR4w")),
            ("token = QwErTyUiOpAsDfGhJkLz", Some("QwErTyUiOpAsDfGhJkLz")),
            ("api_secret: Supersecretkey123", Some("Supersecretkey123")),
            ("token = req.ctx.cfg.db.apiKeyId", None),
            ("token = req.ctx2.cfg.db.apiKeyId", None),
            ("token = correctHorseBatteryStaple", None),
            ("password: Pa$$word", Some("Pa$$word")),
            ("password: Sum!mer$Time", Some("Sum!mer$Time")),
            ("password = user?.login!.password", None),
            ("password = $user.password", None),
            ("password: !GetAtt Db.Password", None),
            ("url = f'/x?token={access_token_v2}'", None),
            ("'password' => 'required|string|min:8'", None),
            ("DB_PASSWORD=CorrectHorse", Some("CorrectHorse")),
            ("tool --password=CorrectHorse", Some("CorrectHorse")),
            ("tool --password=required", None),
            ("password = b\"hunter22\"", Some("hunter22")),
            ("password = f\"{user}\"", None),
            (
                "static TOKEN: &[u8] = b\"Zx81qLmP09aBcD77\";",
                Some("Zx81qLmP09aBcD77"),
            ),
            ("DB_PASSWORD=correcthorse", Some("correcthorse")),
            (
                "env:\n  DB_PASSWORD: CorrectHorse\n  X: y",
                Some("CorrectHorse"),
            ),
            ("- DB_PASSWORD: CorrectHorse # x", Some("CorrectHorse")),
            ("DB_PASSWORD: correcthorse", None),
            ("DB_PASSWORD: hashedPassword,", None),
            ("DB_PASSWORD: hashedPassword + pepper", None),
            ("{ DB_PASSWORD: hashedPassword", None),
            ("DB_PASSWORD: get_password()", None),
            ("dbPassword: hashedPassword\n", None),
            ("DB_PASSWORD=changethis", None),
            ("DB_PASSWORD=prompt", None),
            ("DB_PASSWORD=vault.database.password", None),
            ("DB_PASSWORD=get_password()", None),
            ("DB_PASSWORD=xK9(mQ2vL7", Some("xK9(mQ2vL7")),
            ("DB_PASSWORD=Hunter(4821x", Some("Hunter(4821x")),
            ("[\"DB_PASSWORD=xK9(mQ2vL7\"]", Some("xK9(mQ2vL7")),
            ("password: aB3[xY9!k", Some("aB3[xY9!k")),
            ("password = Tr0ub4dor(3x", Some("Tr0ub4dor(3x")),
            (
                "password = Tr0ub4dor(3x (the new one)",
                Some("Tr0ub4dor(3x"),
            ),
            ("password: (xK9mQ2v", Some("(xK9mQ2v")),
            ("password: (optional)", None),
            ("password = md5(salt + str(word))", None),
            ("password = md5(salt2, word)", None),
            ("password = base64Encode(user +\n  word)", None),
            ("password = sha256(\n  word)", None),
            ("SMTP_PASS=s3cr3t-Pa55", Some("s3cr3t-Pa55")),
            ("EMAIL_PASS=s3cr3t-Pa55", Some("s3cr3t-Pa55")),
            ("\"emailPass\": \"hunter22\"", Some("hunter22")),
            ("\"quality_gate_pass\": \"approved\"", None),
            ("\"quality_gate_pass\": \"auto-approved\"", None),
            ("\"low_pass\": \"butterworth4\"", None),
            ("mainRenderPass = \"forward2\"", None),
            ("MYSQL_PASS: s3cr3t-Pa55", Some("s3cr3t-Pa55")),
            (
                "Server=db;User Id=sa;Password=CorrectHorse;",
                Some("CorrectHorse"),
            ),
            ("Server=db;Uid=sa;Pwd=CorrectHorse;", Some("CorrectHorse")),
            (
                "const apiKey: string = \"9f8e7d6c5b4a39281706\"",
                Some("9f8e7d6c5b4a39281706"),
            ),
            ("password: str = \"hunter22\"", Some("hunter22")),
            ("password?: string | null = 'hunter22'", Some("hunter22")),
            (
                "let token: &'static str = \"Zx81qLmP09aBcD77\";",
                Some("Zx81qLmP09aBcD77"),
            ),
            (
                "var apiKey string = \"9f8e7d6c5b4a39281706\"",
                Some("9f8e7d6c5b4a39281706"),
            ),
            ("let name: &str = \"9f8e7d6c5b4a39281706\";", None),
            ("password: the value = \"hunter22\"", None),
            (
                "password = process.env.DB_PASS || \"hunter22\"",
                Some("hunter22"),
            ),
            (
                "token: ENV['X'] ?? 'Zx81qLmP09aBcD77',",
                Some("Zx81qLmP09aBcD77"),
            ),
            ("token: undefined, name: a || 'Zx81qLmP09aBcD77'", None),
            ("password = get(user) or \"hunter22\"", Some("hunter22")),
            ("password = get(a + b)  or \"hunter22\"", Some("hunter22")),
            ("Password: leave empty or \"anonymous\"", None),
            ("if password == old or \"simple\" in rules:", None),
            ("password === confirm || \"mismatch\"", None),
            ("version: 1.22.333-rc4", None),
            (
                "//registry.npmjs.org/:_authToken=743b294a-cd03-11ec-9d64-0242ac120002",
                Some("743b294a-cd03-11ec-9d64-0242ac120002"),
            ),
            (
                "https://acme.blob.core.windows.net/c/b?sv=2022-11-02&sr=b&sig=Zx81qLmP09aBcD77%2BxyzQ%3D&sp=r",
                Some("Zx81qLmP09aBcD77%2BxyzQ%3D"),
            ),
            (
                "/c/b?sp=r&sig=Zx81qLmP09aBcD77%2BxyzQ%3D&spr=https&sv=2022-11-02",
                Some("Zx81qLmP09aBcD77%2BxyzQ%3D"),
            ),
            ("/c/b?sig=Zx81qLmP09aBcD77%2BxyzQ%3D&x=1", None),
            (
                "https://chat.googleapis.com/v1/spaces/AAAAx/messages?threadKey=1&token=Zx81qLmP09aBcD77%3D",
                Some("Zx81qLmP09aBcD77%3D"),
            ),
            ("signature: a8f5f167f44f4964e6c998dee827110c", None),
            (r#"{"nextPageToken": "CAoQAA1b2c3D4e5F6g7H8"}"#, None),
            ("next_token=CAoQAA1b2c3D4e5F6g7H8", None),
            ("continuation-token: CAoQAA1b2c3D4e5F6g7H8", None),
            ("syncToken=CAoQAA1b2c3D4e5F6g7H8", None),
            ("/users?$skiptoken=CAoQAA1b2c3D4e5F6g7H8", None),
            ("/users?%24deltatoken=CAoQAA1b2c3D4e5F6g7H8", None),
            (r#"{"nextForwardToken": "f/CAoQAA1b2c3D4e5F6g7H8"}"#, None),
            (r#"{"nextBackwardToken": "b/CAoQAA1b2c3D4e5F6g7H8"}"#, None),
            ("progressToken: CAoQAA1b2c3D4e5F6g7H8", None),
            (
                "access_token=CAoQAA1b2c3D4e5F6g7H8",
                Some("CAoQAA1b2c3D4e5F6g7H8"),
            ),
        ] {
            assert_eq!(secret(text), expect, "{text}");
        }
    }

    #[test]
    fn the_key_of_a_member_names_its_value() {
        let text = "CAoQAA1b2c3D4e5F6g7H8";
        for (key, expect) in [
            ("accessToken", true),
            ("nextToken", false),
            ("nextBackwardToken", false),
            ("resume_token", false),
            ("cancel-token", false),
            ("signature", false),
            ("sig", false),
        ] {
            assert_eq!(keyed(Text { text, key }).is_some(), expect, "{key}");
        }
    }

    #[test]
    fn long_values_are_found_to_their_end() {
        let long = "aB3-xY9_".repeat(100);
        assert_eq!(secret(&format!("token={long} x")), Some(long.as_str()));
        let quoted = format!("token = \"{long}\"");
        assert_eq!(secret(&quoted), Some(long.as_str()));
        // Its first bytes end amid a character.
        let wide = format!("aB3{}", "é".repeat(200));
        assert_eq!(secret(&format!("password={wide}")), Some(wide.as_str()));
        for none in [
            format!("${{{long}"),
            "token=".repeat(100),
            format!("/a/{long}"),
        ] {
            assert_eq!(secret(&format!("token={none}")), None, "{none}");
        }
    }
}
