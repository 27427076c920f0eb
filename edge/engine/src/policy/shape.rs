//! Whether the parser can bear a module, known before it starts.
//!
//! It reads what is in brackets as a comprehension first and then as a list, so that brackets within brackets multiply what
//! it reads; and signs and operators in a row become a tree as deep as they are many, which everybody who walks it walks
//! recursively. Regorus bounds neither by itself.

use crate::limits::POLICY_EXPRESSION_DEPTH_MAX;

/// How often at most what is in a bracket is read, for each time that the bracket is read.
const TRIES: u64 = 3;
/// What a bracket costs beside a byte: each failed try of the parser makes an error.
const BRACKET_COST: u64 = 4096;

/// The expression that is being read, and those before it within the same brackets.
struct Level {
    /// Brackets and signs around all of it.
    around: usize,
    /// Its depth so far.
    depth: usize,
    /// Signs in it: each is of all that follows.
    signs: usize,
    /// Depth of the deepest.
    deepest: usize,
    /// How often the parser reads it.
    readings: u64,
}

impl Level {
    fn new(around: usize, readings: u64) -> Self {
        Self {
            around,
            depth: 0,
            signs: 0,
            deepest: 0,
            readings,
        }
    }

    /// What a bracket here opens.
    fn inner(&self, tries: u64) -> Result<Self, &'static str> {
        let around = self.around.saturating_add(self.signs).saturating_add(1);
        bounded(around)?;
        Ok(Self::new(around, self.readings.saturating_mul(tries)))
    }

    fn grow(&mut self, depth: usize) -> Result<(), &'static str> {
        self.depth = depth.saturating_add(1);
        self.deepest = self.deepest.max(self.depth);
        bounded(self.around.saturating_add(self.depth))
    }
}

fn bounded(depth: usize) -> Result<(), &'static str> {
    match depth > POLICY_EXPRESSION_DEPTH_MAX {
        true => Err("an expression is too long, or nested too deeply"),
        false => Ok(()),
    }
}

/// What parsing a module costs, in bytes that are read once. What is no Rego may pass: the parser says what is wrong with it.
pub(super) fn cost(source: &str) -> Result<u64, &'static str> {
    let (mut level, mut outer) = (Level::new(0, 1), Vec::new());
    let (mut cost, mut operand) = (0_u64, false);
    let mut rest = source.as_bytes();
    while let Some(token) = next(rest) {
        rest = rest.get(token.len()..).unwrap_or_default();
        let bytes = u64::try_from(token.len()).unwrap_or(u64::MAX);
        let (bytes, tries) = match token {
            b"[" | b"{" => (BRACKET_COST, TRIES),
            _ => (bytes, 1),
        };
        cost = cost.saturating_add(bytes.saturating_mul(level.readings));
        match token {
            [b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => {}
            b"(" | b"[" | b"{" => {
                let inner = level.inner(tries)?;
                outer.push(std::mem::replace(&mut level, inner));
                operand = false;
            }
            b")" | b"]" | b"}" => {
                if let Some(before) = outer.pop() {
                    let inner = std::mem::replace(&mut level, before);
                    let inner = inner.deepest.saturating_add(level.signs);
                    level.grow(level.depth.max(inner))?;
                }
                operand = true;
            }
            [b',' | b';' | b':', ..] => {
                (level.depth, level.signs, operand) = (0, 0, false);
            }
            [first, ..] if token != b"in" && (is_word(*first) || b"\"`".contains(first)) => {
                // Only an operator joins two operands: this is another expression.
                if operand {
                    (level.depth, level.signs) = (0, 0);
                }
                operand = true;
            }
            _ => {
                if token == b"-" && !operand {
                    level.signs = level.signs.saturating_add(1);
                }
                level.grow(level.depth)?;
                operand = false;
            }
        }
    }
    Ok(cost)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The token that the text begins with; a comment is one, and each space.
fn next(text: &[u8]) -> Option<&[u8]> {
    let (&first, tail) = text.split_first()?;
    let behind = |end: Option<usize>| end.map_or(tail.len(), |at| at.saturating_add(1));
    let length = match first {
        b'#' => behind(tail.iter().position(|byte| *byte == b'\n')),
        b'`' => behind(tail.iter().position(|byte| *byte == b'`')),
        b'"' => {
            let mut escaped = false;
            behind(tail.iter().position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            }))
        }
        b'<' | b'>' | b'=' | b'!' | b':' => usize::from(tail.starts_with(b"=")),
        word if is_word(word) => tail.iter().take_while(|byte| is_word(**byte)).count(),
        _ => 0,
    };
    text.get(..length.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::POLICY_PARSE_COST_MAX;
    use crate::policy::{stdlib, validate};
    use proctor_model::config::{Policy, RegoModule};

    fn policy(source: &str) -> Policy {
        let mut policy = stdlib::baseline();
        policy.modules = vec![RegoModule {
            name: "a.rego".into(),
            source: format!(
                "package proctor.policy\n{source}\ndecision := {{\"effect\": \"allow\"}}\n"
            ),
        }];
        policy
    }

    fn problem(source: &str) -> String {
        validate(&policy(source)).unwrap_err().message
    }

    fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
        format!("x := {}{inner}{}", open.repeat(times), close.repeat(times))
    }

    #[test]
    fn what_would_overflow_the_stack_is_refused() {
        for source in [
            nested("-\n", "1", "", 20_000),
            nested("- # more\n", "1", "", 5_000),
            nested("1 +\n", "1", "", 15_000),
            nested("\"(\" |\n", "a", "", 8_000),
            nested("1 in\n", "a", "", 10_000),
            nested("- - (", "1", ")", 30),
            nested("f(\n", "1", ")", 10_000),
            nested("f(\n", "1", "", 10_000),
            nested("f(- - ", "1", "", 25),
        ] {
            let found = problem(&source);
            assert_eq!(found, "an expression is too long, or nested too deeply");
        }
    }

    #[test]
    fn what_would_be_parsed_for_ever_is_refused() {
        for source in [
            nested("[", "1", "]", 40),
            nested("{1: 1 | ", "1", ", 2: 2}", 20),
            nested("[1 | ", "1, 2", "]", 20),
            nested("[", &"1, ".repeat(20_000), "]", 8),
        ] {
            assert_eq!(problem(&source), "too many brackets within brackets");
        }
    }

    #[test]
    fn what_people_write_is_far_from_that() {
        let costs = stdlib::modules().into_iter();
        let costs: u64 = costs.map(|module| cost(&module.source).unwrap()).sum();
        assert!(costs < POLICY_PARSE_COST_MAX / 30, "{costs}");
        for module in stdlib::test_modules() {
            cost(&module.source).unwrap();
        }
        // Many expressions, none of them deep; brackets and signs that are text.
        let statements = "\n\tinput.a.b[0].c == 1 + 2 - 3\n\tcount(input.x) > -1".repeat(200);
        for source in [
            format!("x if {{{statements}\n}}"),
            "# [[[[[[[[[[[[[[[[[[[[[[[[".to_owned(),
            "x := \"\\\"[[[[[[[[[[[[[[[[[[[[[[ - - - -\"".to_owned(),
            "x := `\\`\ny := `[[[[[[[[[[[[[[[[[[[[[[[[`".to_owned(),
            format!("x := [{}]", "{\"a\": [1, -2]},\n".repeat(100)),
            nested("[", "1", "]", 7),
            nested("1 + ", "1", "", 60),
        ] {
            assert_eq!(validate(&policy(&source)), Ok(()), "{source}");
        }
    }
}
