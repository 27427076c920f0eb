//! Tokens of a completion: as the provider says, or as a tokenizer counts them while it is silent.

mod texts;

use super::Api;
use bpe_openai::{Tokenizer, o200k_base};
use serde_json::{Map, Value};
use texts::{conversed, sum};

/// Largest number of tokens that is believed.
const TOKENS_MAX: u64 = 1 << 40;
/// Bytes of a token, in English text.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of one completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Of the prompt, those that the provider had in its cache included.
    pub input_tokens: u64,
    /// Of the answer.
    pub output_tokens: u64,
    /// Whether a tokenizer counted them, as the provider did not say.
    pub estimated: bool,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// What a provider says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
}

/// Reads a `usage` object. Figures that can't be are none.
pub(super) fn told(api: Api, usage: &Value) -> Told {
    let figure = |name: &str| figure(usage, name);
    match api {
        Api::ChatCompletions | Api::Embeddings => Told {
            input: figure("prompt_tokens"),
            output: match api {
                Api::Embeddings => Some(0),
                _ => figure("completion_tokens"),
            },
        },
        Api::Responses => Told {
            input: figure("input_tokens"),
            output: figure("output_tokens"),
        },
        Api::Messages => {
            let apart = usage.get("iterations").and_then(Value::as_array);
            let apart = apart.into_iter().flatten().filter(|one| is_apart(one));
            apart
                .map(of_message)
                .fold(of_message(usage), |told, more| Told {
                    input: plus(told.input, more.input),
                    output: plus(told.output, more.output),
                })
        }
    }
}

fn figure(usage: &Value, name: &str) -> Option<u64> {
    let figure = usage.get(name).and_then(Value::as_u64);
    figure.filter(|tokens| *tokens <= TOKENS_MAX)
}

/// Whether one of the rounds of a message is not in the sum of them: what a provider did beside it (a summary of the
/// conversation, another model's advice) costs as well, and is told nowhere else.
fn is_apart(round: &Value) -> bool {
    round.get("type").and_then(Value::as_str) != Some("message")
}

fn of_message(usage: &Value) -> Told {
    let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
    let cached = cached.iter().filter_map(|name| figure(usage, name));
    let cached = cached.fold(0_u64, u64::saturating_add);
    Told {
        input: figure(usage, "input_tokens").map(|input| input.saturating_add(cached)),
        output: figure(usage, "output_tokens"),
    }
}

fn plus(figure: Option<u64>, more: Option<u64>) -> Option<u64> {
    figure.map(|figure| figure.saturating_add(more.unwrap_or(0)))
}

/// Counts a stream's tokens while it runs, and cuts it at a ceiling, or where its budget ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    counted: u64,
    most: Option<u64>,
    /// What the budgets have for it, as far as that is known.
    funded: u64,
    told: Told,
}

/// How much of a piece may still come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spent<'p> {
    pub(super) piece: &'p str,
    /// What is reached with it.
    pub(super) reached: Option<Reached>,
}

/// Why no more may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reached {
    /// The answer's own ceiling.
    Ceiling,
    /// The budgets have no more for it.
    Funds,
}

impl Meter {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self {
            counted: 0,
            most,
            funded: u64::MAX,
            told: Told::default(),
        }
    }

    /// Takes note of what the provider says: of the answer's tokens the last, which grow; of the prompt's the most, as what
    /// is said later may leave out what came from a cache.
    pub(super) fn hear(&mut self, told: Told) {
        self.told.input = self.told.input.max(told.input);
        self.told.output = told.output.or(self.told.output);
    }

    /// Whether the provider has said how many tokens the answer has.
    pub(super) fn has_output(&self) -> bool {
        self.told.output.is_some()
    }

    /// The budgets have so many tokens for the answer.
    pub(super) fn fund(&mut self, tokens: u64) {
        self.funded = tokens;
    }

    /// What a provider says of the prompt, if it has.
    pub(super) fn input(&self) -> Option<u64> {
        self.told.input
    }

    /// Tokens of the answer so far. A provider that says that it has made more is believed.
    pub(super) fn output(&self) -> u64 {
        self.counted.max(self.told.output.unwrap_or(0))
    }

    /// Counts a piece of the answer.
    pub(super) fn spend<'p>(&mut self, piece: &'p str) -> Spent<'p> {
        let (ceiling, spent) = (self.most.unwrap_or(u64::MAX), self.output());
        let (most, why) = match ceiling <= self.funded {
            true => (ceiling, Reached::Ceiling),
            false => (self.funded, Reached::Funds),
        };
        let (left, tokens) = (most.saturating_sub(spent), count(piece));
        if most < u64::MAX && tokens >= left {
            self.counted = spent.saturating_add(left);
            return Spent {
                piece: first(piece, left),
                reached: Some(why),
            };
        }
        self.counted = self.counted.saturating_add(tokens);
        Spent {
            piece,
            reached: None,
        }
    }

    /// Whether the provider says that the ceiling is passed.
    pub(super) fn is_passed(&self) -> bool {
        matches!((self.most, self.told.output), (Some(most), Some(told)) if told > most)
    }

    /// What it came to. `whole`: the provider has said all that it has to say.
    pub(super) fn usage(&self, prompt: &Map<String, Value>, whole: bool) -> Usage {
        let output = match (self.told.output, whole) {
            (Some(told), true) => Some(told),
            (told, _) => told.filter(|told| *told > self.counted),
        };
        Usage {
            input_tokens: self.told.input.unwrap_or_else(|| of_prompt(prompt)),
            output_tokens: output.unwrap_or(self.counted),
            estimated: self.told.input.is_none() || output.is_none(),
        }
    }
}

/// Usage of a completion that came whole.
pub(super) fn of_whole(api: Api, prompt: &Map<String, Value>, body: &Map<String, Value>) -> Usage {
    let told = body
        .get("usage")
        .map(|usage| told(api, usage))
        .unwrap_or_default();
    let answer = || match api {
        Api::Embeddings => 0,
        Api::ChatCompletions => conversed(body.get("choices"), count),
        Api::Responses => conversed(body.get("output"), count),
        Api::Messages => conversed(body.get("content"), count),
    };
    Usage {
        input_tokens: told.input.unwrap_or_else(|| of_prompt(prompt)),
        output_tokens: told.output.unwrap_or_else(answer),
        estimated: told.input.is_none() || told.output.is_none(),
    }
}

/// Tokens of a prompt: all texts of it, the names in schemas, and something for each message.
#[must_use]
pub fn of_prompt(prompt: &Map<String, Value>) -> u64 {
    sum(prompt, count)
}

/// The same by the length of its texts, without a tokenizer: for a reservation, on the way of every prompt.
#[must_use]
pub(crate) fn roughly(prompt: &Map<String, Value>) -> u64 {
    sum(prompt, |text| {
        u64::try_from(text.len())
            .unwrap_or(u64::MAX)
            .div_ceil(BYTES_PER_TOKEN)
    })
}

fn tokenizer() -> &'static Tokenizer {
    o200k_base()
}

/// Loads the tokenizer, which takes a moment: before the first stream has to wait for it.
pub fn warm() {
    let _ = count("warm");
}

/// Tokens of a text, as `o200k_base` counts them: near enough for every model to hold it to a ceiling.
fn count(text: &str) -> u64 {
    match text {
        "" => 0,
        text => u64::try_from(tokenizer().count(text)).unwrap_or(u64::MAX),
    }
}

/// The text of the first tokens, to the last whole character.
fn first(text: &str, tokens: u64) -> &str {
    let most = usize::try_from(tokens).unwrap_or(usize::MAX);
    let (tokenizer, mut end, mut left) = (tokenizer(), 0_usize, most);
    for piece in tokenizer.split(text) {
        for token in tokenizer.bpe.encode_via_backtracking(piece.as_bytes()) {
            if left == 0 {
                return text
                    .get(..text.floor_char_boundary(end))
                    .unwrap_or_default();
            }
            left = left.saturating_sub(1);
            end = end.saturating_add(tokenizer.bpe.token_len(token));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_ceiling_is_reached_at_its_token() {
        let text = "one two three four five";
        assert_eq!(count(text), 5);
        let mut meter = Meter::new(Some(4));
        let first = meter.spend("one two");
        assert_eq!((first.piece, first.reached), ("one two", None));
        let second = meter.spend(" three four five six");
        assert_eq!(
            (second.piece, second.reached),
            (" three four", Some(Reached::Ceiling))
        );
        assert_eq!(meter.usage(&Map::new(), false).output_tokens, 4);
    }

    #[test]
    fn where_the_budget_ends_first_it_is_what_is_reached() {
        let mut meter = Meter::new(Some(9));
        meter.fund(3);
        assert_eq!(meter.spend("one two").reached, None);
        meter.fund(4);
        let cut = meter.spend(" three four five");
        assert_eq!(
            (cut.piece, cut.reached, meter.output()),
            (" three four", Some(Reached::Funds), 4)
        );
        // What a provider says that it has made counts, and nothing comes after it.
        let mut meter = Meter::new(None);
        meter.fund(50);
        meter.hear(Told {
            input: Some(7),
            output: Some(60),
        });
        let cut = meter.spend("one");
        assert_eq!((cut.piece, cut.reached), ("", Some(Reached::Funds)));
        assert_eq!((meter.input(), meter.output()), (Some(7), 60));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "𝕏𝕐𝕫 ключ 鍵 🗝️";
        for tokens in 0..count(text) {
            assert!(text.starts_with(first(text, tokens)));
        }
        assert_eq!(first(text, u64::MAX), text);
    }

    #[test]
    fn what_the_provider_says_is_what_counts_in_the_end() {
        let mut meter = Meter::new(None);
        meter.spend("one two three");
        meter.hear(told(
            Api::ChatCompletions,
            &json!({"prompt_tokens": 7, "completion_tokens": 9}),
        ));
        let usage = meter.usage(&Map::new(), true);
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.estimated),
            (7, 9, false)
        );
        // A later figure without what was cached.
        let cached = json!({"input_tokens": 3, "cache_read_input_tokens": 9_000});
        let mut meter = Meter::new(None);
        meter.hear(told(Api::Messages, &cached));
        assert!(!meter.has_output());
        let last = json!({"input_tokens": 3, "output_tokens": 5});
        meter.hear(told(Api::Messages, &last));
        let usage = meter.usage(&Map::new(), true);
        assert_eq!((usage.input_tokens, usage.output_tokens), (9_003, 5));
        for silly in [json!(-1), json!("9"), json!(u64::MAX), json!(1.5)] {
            let told = told(Api::ChatCompletions, &json!({"completion_tokens": silly}));
            assert_eq!(told.output, None);
        }
    }

    #[test]
    fn what_a_provider_did_beside_the_message_counts() {
        let message = json!({"type": "message", "input_tokens": 23_000, "output_tokens": 1_000});
        let summary = json!({"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500,
            "cache_read_input_tokens": 7});
        let check = |iterations: Value, input, output| {
            let usage =
                json!({"input_tokens": 23_000, "output_tokens": 1_000, "iterations": iterations});
            let told = told(Api::Messages, &usage);
            assert_eq!((told.input, told.output), (Some(input), Some(output)));
        };
        check(json!([summary, message]), 203_007, 4_500);
        check(json!([summary, summary, message]), 383_014, 8_000);
        check(json!([message]), 23_000, 1_000);
        check(json!([message, {"type": "compaction"}]), 23_000, 1_000);
        for none in [json!(null), json!([]), json!("x")] {
            check(none, 23_000, 1_000);
        }
        // Of an answer of which nothing is said.
        let usage = json!({"iterations": [summary]});
        assert_eq!(told(Api::Messages, &usage), Told::default());
        // Others have no such rounds.
        let usage = json!({"input_tokens": 3, "output_tokens": 5, "iterations": [summary]});
        assert_eq!(told(Api::Responses, &usage).output, Some(5));
    }

    #[test]
    fn a_silent_provider_is_estimated() {
        let prompt = map(json!({"messages": [{"role": "user", "content": "one two three"}]}));
        let body =
            map(json!({"choices": [{"message": {"role": "assistant", "content": "four five"}}]}));
        let usage = of_whole(Api::ChatCompletions, &prompt, &body);
        assert!(usage.estimated);
        assert!((7..14).contains(&usage.input_tokens), "{usage:?}");
        assert_eq!(usage.output_tokens, 3);
        let told = map(
            json!({"usage": {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 2}}),
        );
        let usage = of_whole(Api::Messages, &prompt, &told);
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.estimated),
            (8, 2, false)
        );
    }
}
