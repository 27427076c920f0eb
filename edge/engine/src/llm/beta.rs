//! What an agent wants of an API that is not settled yet: the names in `anthropic-beta`.

use super::hosted;
use super::prompt::{Misfit, misfit};

/// Most names of one request.
const NAMES_MAX: usize = 32;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Those that say something about the one answer and its form, without their dates: with them a provider does nothing by
/// itself that it would not do without, and asks the same price (budgets know one for each model). A list of what is known,
/// as of members of a request.
const PLAIN: [&str; 14] = [
    "adaptive-thinking",
    "claude-code",
    "computer-use",
    "context-management",
    "effort",
    "fine-grained-tool-streaming",
    "interleaved-thinking",
    "max-tokens-3-5-sonnet",
    "output-128k",
    "pdfs",
    "prompt-caching",
    "prompt-caching-scope",
    "structured-outputs",
    "token-efficient-tools",
];

/// The names in these values of the header, each once.
pub(super) fn read(values: &[&str]) -> Result<Vec<String>, Misfit> {
    let mut names: Vec<String> = Vec::new();
    let listed = values.iter().flat_map(|value| value.split(','));
    for name in listed.map(str::trim).filter(|name| !name.is_empty()) {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(sound) || names.len() >= NAMES_MAX {
            return Err(misfit("anthropic-beta: a list of names"));
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// None that would have a provider do things by itself, or ask another price.
pub(super) fn check(names: &[String]) -> Result<(), Misfit> {
    let Some(name) = names.iter().find(|name| !PLAIN.contains(&undated(name))) else {
        return Ok(());
    };
    let why = match undated(name) {
        // What it takes to write the summary is in no `max_tokens`, and was reserved by nobody.
        "compact" => hosted::SUMS_UP,
        _ => "a provider might do things by itself with it, or ask another price",
    };
    Err(misfit(format!(
        "anthropic-beta: {name}: not through here ({why})"
    )))
}

fn undated(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_whatever_their_date() {
        let names = read(&["effort-2025-11-24, pdfs-2024-09-25", "", "pdfs-2024-09-25"]);
        let names = names.unwrap();
        assert_eq!(names, ["effort-2025-11-24", "pdfs-2024-09-25"]);
        assert!(check(&names).is_ok());
        for name in [
            "claude-code-20250219",
            "computer-use-2025-01-24",
            "effort",
            "output-128k-2025-02-19",
        ] {
            assert!(check(&[name.to_owned()]).is_ok(), "{name}");
        }
        for name in [
            "mcp-client-2025-04-04",
            "files-api-2025-04-14",
            // Tokens cost more with them than budgets know.
            "context-1m-2025-08-07",
            "extended-cache-ttl-2025-04-11",
            "fast-mode-2026-02-01",
            // So does what nobody asked for, and no ceiling holds.
            "compact-2026-01-12",
            "compact",
            "pdf",
            "2025",
        ] {
            let why = check(&[name.to_owned()]).unwrap_err();
            assert!(why.detail.contains(name), "{why:?}");
        }
    }

    #[test]
    fn a_summary_is_refused_for_what_it_is() {
        let why = |name: &str| check(&[name.to_owned()]).unwrap_err().detail;
        assert!(why("compact-2026-01-12").contains(hosted::SUMS_UP));
        assert!(!why("files-api-2025-04-14").contains(hosted::SUMS_UP));
        assert!(check(&["context-management-2025-06-27".to_owned()]).is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(65);
        for value in ["a b", "a\"b", "é", long.as_str()] {
            assert!(read(&[value]).is_err(), "{value}");
        }
        let many: Vec<String> = (0..33).map(|n| format!("x{n}")).collect();
        assert!(read(&[many.join(",").as_str()]).is_err());
        assert!(read(&[many[..32].join(",").as_str()]).is_ok());
    }
}
