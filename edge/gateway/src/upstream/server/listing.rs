//! What a server lists, read as definitions.

use proctor_model::catalogue::{Listed, ToolDefinition};
use proctor_model::sighting::{LEFT_OUT_MAX, LeftOut};
use serde_json::Value;

/// What a server lists.
#[derive(Default, Debug)]
pub struct Listing {
    /// Its tools, resources, templates and prompts.
    pub definitions: Vec<ToolDefinition>,
    /// What it lists beside and what no definition can be made of; no more of it than can be told.
    pub left_out: Vec<LeftOut>,
}

impl Listing {
    /// Reads one page of a list.
    pub(super) fn read(&mut self, listed: Listed, page: &[Value]) {
        for element in page {
            match ToolDefinition::from_list(listed, element) {
                Ok(definition) => self.definitions.push(definition),
                Err(error) if self.left_out.len() < LEFT_OUT_MAX => {
                    self.left_out.push(LeftOut::of(listed, element, &error));
                }
                Err(_) => {}
            }
        }
    }

    /// Takes in another list.
    pub(super) fn extend(&mut self, other: Self) {
        self.definitions.extend(other.definitions);
        self.left_out.extend(other.left_out);
        self.left_out.truncate(LEFT_OUT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_disappears_without_a_word() {
        let mut listing = Listing::default();
        let tools = [
            json!({ "name": "ok", "inputSchema": {} }),
            json!({ "name": "Send Email", "inputSchema": {} }),
            json!({ "name": "bare" }),
        ];
        listing.read(Listed::Tool, &tools);
        let mut prompts = Listing::default();
        prompts.read(Listed::Prompt, &vec![json!({ "name": "a b" }); 100]);
        listing.extend(prompts);
        let read = listing.definitions.iter().map(|read| read.name.as_str());
        assert_eq!(read.collect::<Vec<_>>(), ["ok"]);
        let names = listing.left_out.iter().map(|left| left.name.as_str());
        let names: Vec<_> = names.collect();
        assert_eq!(names.get(..3), Some(&["Send Email", "bare", "a b"][..]));
        assert_eq!(names.len(), LEFT_OUT_MAX);
    }
}
