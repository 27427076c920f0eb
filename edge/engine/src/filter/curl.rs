//! What `curl` is told to log in with: `-u user:password`, `-u key:`.

use super::credible::placeholder;
use super::label::is_constant;
use super::options::{COMMAND_BYTES_MAX, is_quote};
use super::text::Text;
use super::url::is_token;

/// Longest user or password, in bytes.
const PART_BYTES_MAX: usize = 256;
/// Most blanks between the option and its value.
const BLANKS_MAX: usize = 16;
/// Most letters before the one that takes a user and a password: `-sSLu`.
const FLAGS_MAX: usize = 8;
/// Options of one letter that take no value, so that another may follow them.
const FLAGS: &[u8] = b"#0123464BGIJLMNOQRSVZafgijklnpqsv";

/// The password that the command at `at` is given, or the key in place of a user.
pub(super) fn curl(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    let command = command(text.bytes(at, at.saturating_add(COMMAND_BYTES_MAX)));
    let dashes = memchr::memchr_iter(b'-', command).map(|found| at.saturating_add(found));
    let mut users = dashes.filter_map(|dash| user(text, dash));
    // Not every `-u` has a password behind it, and another program's may stand before curl's own.
    users.find_map(|user| password(text, user))
}

/// Where the value of the option begins whose dash stands here: `-u x`, `-ux`, `-su x`, `--user x`, and the same for a
/// proxy.
fn user(text: Text<'_>, dash: usize) -> Option<usize> {
    if !text.before(dash).is_ascii_whitespace() {
        return None;
    }
    let long = [&b"--user"[..], b"--proxy-user"];
    let long = long.into_iter().find_map(|name| {
        let end = dash.saturating_add(name.len());
        (text.bytes(dash, end) == name).then_some(end)
    });
    let (end, may_be_glued) = match long {
        Some(end) => (end, false),
        None => short(text, dash)?,
    };
    let value = text.run(end, BLANKS_MAX, is_blank);
    (value > end || may_be_glued).then_some(value)
}

/// Where the option of one letter ends whose dash stands here, and whether its value may begin there: with other letters
/// before it, who knows which is the last.
fn short(text: Text<'_>, dash: usize) -> Option<(usize, bool)> {
    let first = dash.saturating_add(1);
    let last = text.run(first, FLAGS_MAX, |b| FLAGS.contains(&b));
    let takes_user = matches!(text.at(last), b'u' | b'U');
    takes_user.then_some((last.saturating_add(1), last == first))
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// What belongs to the command that begins these bytes: other programs mean other things by `-u`.
fn command(bytes: &[u8]) -> &[u8] {
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in bytes.iter().copied().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match quote {
            Some(open) if byte == open => quote = None,
            // Between single quotation marks a backslash is one.
            Some(b'\'') => {}
            _ if byte == b'\\' => escaped = true,
            Some(_) => {}
            None if is_quote(byte) => quote = Some(byte),
            None if ends_command(bytes, at) => return bytes.get(..at).unwrap_or_default(),
            None => {}
        }
    }
    bytes
}

/// Whether a command ends at this byte, outside of quotation marks.
fn ends_command(bytes: &[u8], at: usize) -> bool {
    let (before, rest) = bytes.split_at(at.min(bytes.len()));
    let length = match rest {
        [b'\n', ..] => {
            let line = before.strip_suffix(b"\r").unwrap_or(before);
            // Goes on in the next line, in the ways of three shells.
            return !(line.ends_with(b"\\") || line.ends_with(b" ^") || line.ends_with(b" `"));
        }
        [b'&', b'&', ..] => 2,
        [b'|' | b';', ..] => 1,
        _ => return false,
    };
    // In addresses that nobody quoted they have no blank beside them.
    let blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    blank(before.last()) || blank(rest.get(length))
}

/// The password of `user:password`, which stands at `user`; the user where it is a key, and nothing or a letter stands for
/// the password, as services have it that know no users.
fn password(text: Text<'_>, user: usize) -> Option<(usize, usize)> {
    let opened = is_quote(text.at(user));
    let user = user.saturating_add(usize::from(opened));
    let name_end = text.run(user, PART_BYTES_MAX, |b| {
        !b.is_ascii_whitespace() && b != b':' && !is_quote(b)
    });
    // `<user:password>` says what to put there.
    let shown = matches!(text.at(user), b'<' | b'[' | b'{');
    if text.at(name_end) != b':' || shown {
        return None;
    }
    // `bob:"x"`; but the mark in `"curl -u bob:"` ends something else.
    let mark = text.at(name_end.saturating_add(1));
    let quoted = !opened && is_quote(mark);
    let start = name_end
        .saturating_add(1)
        .saturating_add(usize::from(quoted));
    let end = text.run(start, PART_BYTES_MAX, |b| {
        !b.is_ascii_whitespace() && !is_quote(b) && b != 0
    });
    let closed = !quoted || text.at(end) == mark;
    let (name, password) = (text.slice(user, name_end), text.slice(start, end));
    if !closed || password.len() < 3 {
        return is_token(name).then_some((user, name_end));
    }
    let filled_in = name == "$env" || is_filled_in(password);
    (!filled_in && !placeholder(password) && !is_constant(password)).then_some((start, end))
}

/// Whether a program or a shell puts the password there: `{config.password!r}`, `%PASSWORD%`.
fn is_filled_in(password: &str) -> bool {
    password.starts_with(['{', '`']) || (password.starts_with('%') && password.ends_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.find("curl ")?;
        let (start, end) = curl(Text { text, key: "" }, at)?;
        text.get(start..end)
    }

    #[test]
    fn users_have_passwords() {
        for text in [
            "curl -u bob:s3cr3t https://x",
            "curl -u  bob:s3cr3t https://x",
            "curl -u\tbob:s3cr3t https://x",
            "curl -ubob:s3cr3t https://x",
            "curl -u'bob:s3cr3t' https://x",
            "curl -su bob:s3cr3t https://x",
            "curl -sSLku \"bob:s3cr3t\" https://x",
            "curl --user   bob:s3cr3t https://x",
            "curl -x proxy:3128 -U bob:s3cr3t https://x",
            "curl --proxy-user bob:s3cr3t https://x",
            "curl -u bob:$PASS -u bob:s3cr3t https://x",
            "curl -u $USER:s3cr3t https://x",
            "curl --user-agent a:b1c2 -u bob:s3cr3t https://x",
        ] {
            assert_eq!(found(text), Some("s3cr3t"), "{text}");
        }
    }

    /// Nobody writes a label there, nor a route.
    #[test]
    fn a_password_may_be_of_words() {
        for password in ["AdminPassword", "reset-password", "hashed", "/login"] {
            let text = format!("curl -u admin:{password} https://x");
            assert_eq!(found(&text), Some(password), "{text}");
        }
    }

    #[test]
    fn a_user_may_be_a_key() {
        let key = "9f8e7d6c5b4a39281706e5d4c3b2a1f0";
        for text in [
            format!("curl https://x -u {key}:"),
            format!("curl https://x -u \"{key}:\" -d a=b"),
            format!("curl https://x -u '{key}:'"),
            format!("curl https://x -u {key}:\"\""),
            format!("curl https://x -u {key}:X"),
            format!("{{\"cmd\":\"curl https://x -u {key}:\"}}]}}"),
        ] {
            assert_eq!(found(&text), Some(key), "{text}");
        }
        let long = key.repeat(4);
        let text = format!("curl -u {long}: https://x");
        assert_eq!(found(&text), Some(long.as_str()));
    }

    #[test]
    fn what_is_filled_in_later_is_no_password() {
        for text in [
            "curl -u bob: https://x",
            "curl -u \"bob:\" https://x",
            "curl -u a-name-of-many-words-and-more: https://x",
            "curl -u  \"{user}:{pw}\" https://x",
            "curl -u \"{user}:{pw}\" https://x",
            "curl -u \"bob:{pw!r}\" https://x",
            "curl -u \"bob:{config['pw']}\" https://x",
            "curl -u \"bob:#{pw}\" https://x",
            "curl -u bob:%PASSWORD% https://x",
            "curl -u bob:`cat /run/pw` https://x",
            "curl -u $env:NAME:$env:PASS https://x",
            "curl -u USER:API_TOKEN https://x",
            "curl -u 9f8e7d6c5b4a39281706e5d4c3b2a1f0:$SECRET https://x",
            "curl --user-agent a:b1c2 https://x",
            "curl -o out:b1c2 https://x",
            "curl https://x/a-ubob:s3cr3t",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
