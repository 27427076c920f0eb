//! Whether a policy can tell an answer from a call.
//!
//! The two inputs differ in `input.phase`, `input.result` and (what was read) `input.memory` alone. So a module in which every
//! mention of `input` is directly followed by another member's name, as `input.name` or `input["name"]`, gives the same decision in both phases, and there is
//! no need to ask it twice. Anything else (`input[key]`, `walk(input)`, `import input as call`, a blank or a line end in
//! between) might see the difference; a mention in a comment or a text counts as one too, which costs time and nothing else.

/// Whether a module might see the difference.
pub(super) fn shows(source: &str) -> bool {
    source
        .match_indices("input")
        .filter(|(at, word)| {
            let before = source
                .get(..*at)
                .and_then(|before| before.chars().next_back());
            let after = after(source, *at, word).chars().next();
            // Part of a longer name; what is a letter in doubt is none.
            !before.is_some_and(continues) && !after.is_some_and(continues)
        })
        .any(|(at, word)| !names_another(after(source, at, word)))
}

fn after<'s>(source: &'s str, at: usize, word: &str) -> &'s str {
    source
        .get(at.saturating_add(word.len())..)
        .unwrap_or_default()
}

fn continues(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Whether this goes on with the name of a member that is the same in both phases.
fn names_another(rest: &str) -> bool {
    let quoted = rest.strip_prefix("[\"");
    let Some(rest) = quoted.or_else(|| rest.strip_prefix('.')) else {
        return false;
    };
    let end = rest.find(|letter| !continues(letter)).unwrap_or(rest.len());
    let (name, behind) = rest.split_at_checked(end).unwrap_or_default();
    let whole = quoted.is_none() || behind.starts_with("\"]");
    whole && !name.is_empty() && !matches!(name, "phase" | "result" | "memory")
}

#[cfg(test)]
mod tests {
    use super::shows;

    #[test]
    fn only_other_members_hide_the_phase() {
        for same in [
            "x if input.tool.verb == \"read\"",
            "x if input[\"args\"].a > 1",
            "outputs := my_input",
            "x if inputs.phase",
            "x if input.phases == 1",
            "x if input.memory_of",
        ] {
            assert!(!shows(same), "{same}");
        }
        for seen in [
            "x if input.phase == \"response\"",
            "x if input.result.rows > 5",
            "x if input.memory.unsigned > 0",
            "x if input[\"memory\"].unsigned > 0",
            "x if input[\"phase\"]",
            "x if input[\"ph\\u0061se\"]",
            "x if input[`phase`]",
            "x if input[data.settings.key]",
            "x if some k, v in input",
            "x := count(input)",
            "x := object.get(input, \"phase\", 1)",
            "import input as call",
            "import input.result",
            "x if input\n.phase == 1",
            "x if input . phase == 1",
            "x if f(input)",
            "x := {input}",
            "x if input",
        ] {
            assert!(shows(seen), "{seen}");
        }
    }
}
