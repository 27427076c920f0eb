//! Passwords that programs take by an option of one letter or by their place: `sshpass -p x`, `mysql -u root -px`,
//! `htpasswd -b file user x`, `echo "user:x" | chpasswd`; and the one in the code that a wireless network is joined by.

use super::names::Kind;
use super::text::{Text, alnum};
use super::told::{Hit, Word, is_blank};
use memchr::memmem::{self, Finder};
use std::sync::LazyLock;

static HTPASSWD: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("htpasswd "));

/// How far before a password its program is looked for, in bytes.
const BACK_BYTES_MAX: usize = 240;

/// Where a value stands by its option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `-px`: with a blank between it would be something else.
    Joined,
    /// `-p x`
    Apart,
    Either,
}

/// A program, what it is told to do, and the option that a password belongs to.
const OPTIONS: &[(&str, &str, Way)] = &[
    ("sshpass", "-p", Way::Either),
    ("mysql", "-p", Way::Joined),
    ("mysqldump", "-p", Way::Joined),
    ("mysqladmin", "-p", Way::Joined),
    ("mysqlimport", "-p", Way::Joined),
    ("mariadb", "-p", Way::Joined),
    ("mariadb-dump", "-p", Way::Joined),
    ("7z", "-p", Way::Joined),
    ("7za", "-p", Way::Joined),
    ("7zz", "-p", Way::Joined),
    ("rar", "-p", Way::Joined),
    ("unrar", "-p", Way::Joined),
    ("docker login", "-p", Way::Apart),
    ("podman login", "-p", Way::Apart),
    ("skopeo login", "-p", Way::Apart),
    ("helm registry login", "-p", Way::Apart),
    ("oc login", "-p", Way::Apart),
    ("az login", "-p", Way::Apart),
    ("mongo", "-p", Way::Apart),
    ("mongosh", "-p", Way::Apart),
    ("mongodump", "-p", Way::Apart),
    ("mongorestore", "-p", Way::Apart),
    ("cqlsh", "-p", Way::Apart),
    ("zip", "-P", Way::Either),
    ("unzip", "-P", Way::Either),
    ("sqlcmd", "-P", Way::Either),
    ("bcp", "-P", Way::Either),
    ("mosquitto_pub", "-P", Way::Apart),
    ("mosquitto_sub", "-P", Way::Apart),
    ("ipmitool", "-P", Way::Apart),
    ("ldapsearch", "-w", Way::Apart),
    ("ldapmodify", "-w", Way::Apart),
    ("ldapadd", "-w", Way::Apart),
    ("ldapdelete", "-w", Way::Apart),
    ("ldapwhoami", "-w", Way::Apart),
    ("ldappasswd", "-w", Way::Apart),
    ("openssl", "-k", Way::Apart),
    ("redis-cli", "-a", Way::Apart),
    ("keytool", "-storepass", Way::Apart),
    ("keytool", "-keypass", Way::Apart),
    ("jarsigner", "-storepass", Way::Apart),
];

/// The password that a command is given as this word, or in it. What stands before it ends at `token_end`, with a blank
/// between the two if it is `spaced`.
pub(super) fn given(word: &Word<'_>, token_end: usize, spaced: bool) -> Option<Hit> {
    option(word, token_end, spaced)
        .or_else(|| placed(word, token_end))
        .or_else(|| piped(word))
        .or_else(|| wireless(word))
}

fn option(word: &Word<'_>, token_end: usize, spaced: bool) -> Option<Hit> {
    let text = word.text;
    let own = !word.quoted && text.at(word.start) == b'-';
    let (option, joined, start) = if own {
        let start = word.start.saturating_add(2);
        (text.slice(word.start, start), true, start)
    } else {
        let from = text.run_back(token_end, 16, |b| !b.is_ascii_whitespace());
        (text.slice(from, token_end), !spaced, word.start)
    };
    if !option.starts_with('-') {
        return None;
    }
    let takes = |way: Way| match way {
        Way::Joined => joined,
        Way::Apart => !joined,
        Way::Either => true,
    };
    let mut fitting = OPTIONS
        .iter()
        .filter(|(_, name, way)| *name == option && takes(*way))
        .peekable();
    fitting.peek()?;
    // Asked first: most words are no passwords.
    let hit = word.part(start, word.end, Kind::Password)?;
    let command = command(text, word.start);
    let known = fitting.any(|(program, ..)| takes_option(command, program));
    known.then_some(hit)
}

/// What of a command stands before `at`.
fn command(text: Text<'_>, at: usize) -> &[u8] {
    let before = text.bytes(at.saturating_sub(BACK_BYTES_MAX), at);
    let behind = |place: Option<usize>| place.map_or(0, |place| place.saturating_add(1));
    let sign = behind(memchr::memrchr3(b'|', b';', b'&', before));
    let before = before.get(sign..).unwrap_or_default();
    let goes_on = |place: usize| {
        before
            .get(..place)
            .is_some_and(|line| line.ends_with(b"\\"))
    };
    let line = behind(memchr::memrchr_iter(b'\n', before).find(|place| !goes_on(*place)));
    before.get(line..).unwrap_or_default()
}

/// Places where a command has the name of this program as a word.
fn named<'c>(command: &'c [u8], program: &'c str) -> impl Iterator<Item = usize> + use<'c> {
    memmem::find_iter(command, program.as_bytes()).filter(move |at| {
        let before = at.checked_sub(1).and_then(|at| command.get(at));
        let behind = command.get(at.saturating_add(program.len()));
        let begins = before.is_none_or(|b| !alnum(*b) && !matches!(b, b'-' | b'_' | b'.'));
        begins && behind.is_some_and(|b| is_blank(*b))
    })
}

/// Whether a command calls this program.
fn runs(command: &[u8], program: &str) -> bool {
    named(command, program).next().is_some()
}

/// Whether the option at the end of a command is this program's: the command begins with it, or nothing but options and
/// their values stands between. `docker exec mongo cp -p x`: that of `cp`.
fn takes_option(command: &[u8], program: &str) -> bool {
    let mut places = named(command, program);
    let Some(first) = places.next() else {
        return false;
    };
    let last = places.last().unwrap_or(first);
    let before = command.get(..first).unwrap_or_default();
    let behind = command.get(last.saturating_add(program.len())..);
    program.contains(' ') || begins_command(before) || has_options(behind.unwrap_or_default())
}

/// Whether a command begins behind these bytes and the path they may end with: nothing stands before it, or what opens
/// one, or words that run another.
fn begins_command(before: &[u8]) -> bool {
    let opens = |word: &&[u8]| word.last().is_some_and(|b| b":\"'`($#>%{".contains(b));
    let runs_another = |word: &[u8]| {
        let others = [
            &b"sudo"[..],
            b"exec",
            b"env",
            b"time",
            b"nohup",
            b"run",
            b"do",
            b"then",
            b"-",
        ];
        let mut others = others.iter();
        word.contains(&b'=') || others.any(|other| word.eq_ignore_ascii_case(other))
    };
    let is_path = before.last() == Some(&b'/');
    let words = before
        .rsplit(u8::is_ascii_whitespace)
        .skip(usize::from(is_path));
    words
        .filter(|word| !word.is_empty())
        .take_while(|word| !opens(word))
        .all(runs_another)
}

/// Whether these words are options, and no more than one value behind each.
fn has_options(words: &[u8]) -> bool {
    let mut may_be_value = false;
    let mut words = words.split(u8::is_ascii_whitespace);
    words.all(|word| {
        // A backslash: it goes on in the next line.
        let (is_none, is_option) = (word.is_empty() || word == b"\\", word.starts_with(b"-"));
        let fits = is_none || is_option || may_be_value;
        may_be_value = is_option || (is_none && may_be_value);
        fits
    })
}

/// `htpasswd -b file user x`, `net user bob x /add`, `net use z: \\host\share x /user:bob`, `… /user:bob x`.
fn placed(word: &Word<'_>, token_end: usize) -> Option<Hit> {
    let text = word.text;
    let behind = text.run(word.closed(), 4, is_blank);
    let rest = text.from(behind);
    let from = text.run_back(token_end, 64, |b| !b.is_ascii_whitespace());
    let before = text.slice(from, token_end);
    let is_last = matches!(
        text.at(behind),
        b'\r' | b'\n' | b'|' | b'&' | b';' | b'"' | 0
    );
    let called = if rest.starts_with("/user:") || before.starts_with("/user:") {
        runs(command(text, word.start), "net use")
    } else if rest.starts_with("/add") {
        runs(command(text, word.start), "net user")
    } else {
        is_last && sets_htpasswd(command(text, word.start))
    };
    let hit = called.then(|| word.part(word.start, word.end, Kind::Password));
    hit.flatten()
}

/// Whether a password is the next word of this command: behind a file and a user, or with `-n` behind the user.
fn sets_htpasswd(command: &[u8]) -> bool {
    let Some(at) = HTPASSWD.find(command) else {
        return false;
    };
    let words = command.get(at.saturating_add("htpasswd ".len())..);
    let words = words.unwrap_or_default().split(u8::is_ascii_whitespace);
    let (mut batch, mut prints, mut others) = (false, false, 0_usize);
    for word in words {
        match word {
            [] | [b'"' | b'\''] => {}
            [b'-', letters @ ..] => {
                batch |= letters.contains(&b'b');
                prints |= letters.contains(&b'n');
            }
            _ => others = others.saturating_add(1),
        }
    }
    batch && others == if prints { 1 } else { 2 }
}

/// `echo "bob:x" | chpasswd`
fn piped(word: &Word<'_>) -> Option<Hit> {
    let text = word.text;
    let (user, _) = word.written().split_once(':')?;
    let bar = text.run(word.closed(), 4, is_blank);
    if text.at(bar) != b'|' {
        return None;
    }
    let next = text.run(bar.saturating_add(1), 4, is_blank);
    let rest = text.from(next);
    let rest = rest.strip_prefix("sudo ").unwrap_or(rest);
    let start = word.start.saturating_add(user.len()).saturating_add(1);
    let hit = word.part(start, word.end, Kind::Password);
    hit.filter(|_| rest.starts_with("chpasswd"))
}

/// `WIFI:S:home;T:WPA;P:x;;`
fn wireless(word: &Word<'_>) -> Option<Hit> {
    let written = word.written();
    // Looking for three letters costs more than for one, and hardly any word has that.
    memchr::memchr(b':', written.as_bytes())?;
    let at = match written.find(";P:") {
        Some(at) => at.saturating_add(3),
        None if written.starts_with("P:") => 2,
        None => return None,
    };
    let before = word.text.bytes(
        word.start.saturating_sub(BACK_BYTES_MAX),
        word.start.saturating_add(at),
    );
    memmem::rfind(before, b"WIFI:")?;
    let value = written.get(at..)?;
    let length = value.find(';').unwrap_or(value.len());
    let start = word.start.saturating_add(at);
    word.part(start, start.saturating_add(length), Kind::Password)
}

#[cfg(test)]
mod tests {
    use super::super::runs::runs as each_run;
    use super::super::told::told;
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let whole = Text { text, key: "" };
        let mut found = Vec::new();
        each_run(text.as_bytes(), |start, end| {
            if text[start..end].bytes().any(|b| b.is_ascii_digit()) {
                found.extend(told(whole, start, end).map(|(a, b, ..)| &text[a..b]));
            }
        });
        found
    }

    #[test]
    fn programs_are_given_passwords() {
        for text in [
            "sshpass -p Hunter4821 ssh bob@host",
            "sshpass -p 'Hunter4821' ssh bob@host",
            "sshpass -pHunter4821 ssh bob@host",
            "RUN sudo sshpass -p Hunter4821 ssh bob@host",
            "command: LANG=C /usr/bin/7z x a.zip -pHunter4821",
            "sh -c \"7z x a.zip -pHunter4821\"",
            "docker exec -it db mysql -u root -pHunter4821 shop",
            "mysql -u root -pHunter4821 shop",
            "mysql -u root -p'Hunter4821' shop",
            "/usr/bin/mysqldump \\\n -u root -pHunter4821 shop",
            "ldapsearch -D \"cn=admin\" -w Hunter4821 -b \"dc=x\"",
            "docker login -u bob -p Hunter4821 registry.example.com",
            "7z x a.zip -pHunter4821",
            "unzip -P Hunter4821 a.zip",
            "openssl enc -aes-256-cbc -k Hunter4821",
            "redis-cli -a Hunter4821 ping",
            "keytool -list -storepass Hunter4821",
            "htpasswd -b /etc/p bob Hunter4821",
            "htpasswd -nbB bob Hunter4821\n",
            "net use Z: \\\\host\\share Hunter4821 /user:bob",
            "net use \\\\host\\share /user:bob Hunter4821",
            "net user bob Hunter4821 /add",
            "echo \"bob:Hunter4821\" | chpasswd",
            "echo 'b0b:Hunter4821' | sudo chpasswd",
            "WIFI:S:home;T:WPA;P:Hunter4821;;",
            "WIFI:S:my home;T:WPA2;P:Hunter4821;;",
        ] {
            assert_eq!(found(text), ["Hunter4821"], "{text}");
        }
    }

    #[test]
    fn what_other_options_are_given() {
        for text in [
            "mysql -u root -p Hunter4821",
            "mysql -u root -P3306a",
            "docker run -p 8080a:80b1 img",
            "docker login && docker run -p 127a:80b img",
            "sshpass -p $PASS4821 ssh bob@host",
            "sshpass -e ssh -p 22 host; cut -p Hunter4821",
            "my-sshpass -p Hunter4821",
            "ldapsearch -b Hunter4821",
            "htpasswd -c /etc/p bob42x",
            "htpasswd -b /etc/p bob42x",
            "echo \"bob:Hunter4821\" | tee",
            "time;P:Hunter4821;",
            "net user bob Hunter4821",
            "tool -w Hunter4821",
            "docker exec mongo cp -p Hunter4821.gz /x",
            "tar cf a.zip --exclude zip b -P Hunter4821",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }
}
