//! Patterns over full tool names.

use proctor_model::{ServerId, ToolName, ToolRef};
use std::fmt;

/// A pattern `server/tool` in which `*` stands for any run of characters. The part before the first slash is
/// matched against the server, the rest against the tool's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ToolGlob {
    server: Box<str>,
    tool: Box<str>,
}

impl ToolGlob {
    /// Reads a pattern; `None` if it isn't one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (server, tool) = text.split_once('/')?;
        // With the stars as letters, each part must be what it is matched against.
        let plain = |part: &str| part.replace('*', "x");
        let sound = plain(server).parse::<ServerId>().is_ok()
            && plain(tool).parse::<ToolName>().is_ok()
            && text.bytes().filter(|b| *b == b'*').count() <= 8;
        sound.then(|| Self {
            server: server.into(),
            tool: tool.into(),
        })
    }

    /// Whether a token that lists this pattern grants the entry. A pattern means tools, unless it says `resource:` or
    /// `prompt:`; all that a server has is granted by `*` alone. What *restricts* goes by [`matches`](Self::matches).
    #[must_use]
    pub fn grants(&self, tool: &ToolRef) -> bool {
        (&*self.tool == "*" || self.tool.starts_with(tool.name.kind().prefix()))
            && self.matches(tool)
    }

    /// Whether the full name matches.
    #[must_use]
    pub fn matches(&self, tool: &ToolRef) -> bool {
        wildcard(&self.server, tool.server.as_str()) && wildcard(&self.tool, tool.name.as_str())
    }
}

impl fmt::Display for ToolGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.tool)
    }
}

/// Whether `text` is `pattern` with each `*` replaced by some run of characters. The first part is anchored at
/// the start, the last at the end, those between are found leftmost first, which is enough.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, pattern)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = pattern.rsplit_once('*').unwrap_or(("", pattern));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match text.split_once(part) {
            Some((_, rest)) => text = rest,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_run() {
        for (glob, tool, expect) in [
            ("crm/read_*", "crm/read_contact", true),
            ("crm/read_*", "crm/read_", true),
            ("crm/read_*", "crm/write_contact", false),
            ("crm/read_*", "crm2/read_contact", false),
            ("*/delete_*", "files/delete_file", true),
            ("*/*", "a/b/c", true),
            ("a/*_x_*y", "a/1_x_2y", true),
            ("a/*_x_*y", "a/_x_", false),
            ("a/x*x", "a/x", false),
            ("a/x*x", "a/xx", true),
            ("files/read_file", "files/read_file", true),
            ("files/read_file", "files/read_files", false),
        ] {
            let got = ToolGlob::parse(glob)
                .unwrap()
                .matches(&tool.parse().unwrap());
            assert_eq!(got, expect, "{glob} on {tool}");
        }
        for bad in [
            "", "*", "a", "a/", "/b", "A/b", "a /b", "a/b?", "a/b,c", "a/{b}",
        ] {
            assert!(ToolGlob::parse(bad).is_none(), "{bad}");
        }
        assert!(ToolGlob::parse("a/*********").is_none());
    }
}
