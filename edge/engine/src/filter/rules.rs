//! What is done about a match: a tenant's rules, then the standard ones.

use super::custom::Custom;
use super::phone::Regions;
use super::{Class, Filter};
use crate::catalogue::Tool;
use crate::limits::CONTENT_RULES_MAX;
use crate::token::ToolGlob;
use proctor_model::ToolRef;
use proctor_model::catalogue::Verb;
use proctor_model::content::{
    Confidence, ContentAction, ContentClass, ContentGroup, ContentRule, ContentRules, Direction,
};

/// Why content rules can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ContentProblem {
    /// More than the limit.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A name of a pattern or word list that is not lower case, is taken, or comes twice.
    #[error(
        "the name {0:?} can't be used: lower case letters, digits and '_', no class or group of the filter's own, each once"
    )]
    Name(String),
    /// A pattern that can't be searched.
    #[error("pattern {0}: {1}")]
    Pattern(String, String),
    /// A word that is empty or too long.
    #[error("a word is empty or too long")]
    Word,
    /// A rule names a class that does not exist.
    #[error("no class {0:?}")]
    Class(String),
    /// A rule's tools.
    #[error("{0:?} is no tool pattern (server/tool, with '*')")]
    Tool(String),
    /// A region without telephone numbers.
    #[error("{0:?} is no region")]
    Region(String),
}

/// Compiled content rules of a tenant, and the filter they are about.
#[derive(Debug, Default)]
pub struct Rules {
    filter: Filter,
    rules: Vec<Rule>,
    /// How many of them are the tenant's; the standard ones follow.
    own: usize,
    reveal: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    classes: Vec<Selector>,
    direction: Option<Direction>,
    tools: Vec<ToolGlob>,
    verbs: Vec<Verb>,
    min_confidence: Confidence,
    action: ContentAction,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Selector {
    All,
    Custom,
    Group(ContentGroup),
    One(Class),
}

/// What a text goes to or comes from.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// The tool; without one (an LLM provider's prompt, a list of tools) rules that name tools or verbs do not fit.
    pub tool: Option<(&'a ToolRef, Verb)>,
}

/// What the catalogue says is at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Nothing of note.
    Anything,
    /// A password, key or token.
    Credential,
}

impl<'a> Place<'a> {
    /// Of a tool's arguments or answers.
    #[must_use]
    pub fn of(direction: Direction, tool: &'a Tool) -> Self {
        Self {
            direction,
            tool: Some((tool.reference(), tool.verb())),
        }
    }
}

impl Rules {
    /// Compiles a tenant's rules.
    ///
    /// # Errors
    /// See [`ContentProblem`]. Never says more of a pattern than its name.
    pub fn compile(document: &ContentRules) -> Result<Self, ContentProblem> {
        if document.rules.len() > CONTENT_RULES_MAX || document.reveal.len() > CONTENT_RULES_MAX {
            return Err(ContentProblem::TooMany("rules"));
        }
        let custom = Custom::compile(document)?;
        let regions = match document.phone_regions.is_empty() {
            true => Ok(Regions::usual()),
            false if document.phone_regions.len() > CONTENT_RULES_MAX => {
                return Err(ContentProblem::TooMany("regions"));
            }
            false => Regions::new(document.phone_regions.iter().map(String::as_str)),
        };
        let regions =
            regions.map_err(|name| ContentProblem::Region(name.chars().take(8).collect()))?;
        let reveal = document.reveal.iter().map(|reveal| ContentRule {
            classes: reveal.classes.clone(),
            direction: None,
            tools: reveal.tools.clone(),
            verbs: Vec::new(),
            min_confidence: Confidence::Low,
            action: ContentAction::Allow,
        });
        let reveal = reveal
            .map(|rule| Rule::compile(&rule, &custom))
            .collect::<Result<_, _>>()?;
        let own = document
            .rules
            .iter()
            .map(|rule| Rule::compile(rule, &custom));
        let mut rules = own.collect::<Result<Vec<_>, _>>()?;
        let own = rules.len();
        if document.standard {
            rules.extend(standard());
        }
        Ok(Self {
            filter: Filter { regions, custom },
            rules,
            own,
            reveal,
        })
    }

    /// What is looked for.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What is done about a match of this class. Where no rule fits it passes uncounted if it is unsure, else counted.
    /// `expected`: in an argument that the catalogue calls a credential, where the standard rules do not mind one.
    #[must_use]
    pub fn action(
        &self,
        class: Class,
        confidence: Confidence,
        place: Place<'_>,
        expected: Expected,
    ) -> ContentAction {
        // What a tool may see when it is put back, it may see.
        if place.direction == Direction::Outbound
            && place
                .tool
                .is_some_and(|(tool, _)| self.reveals(class, tool))
        {
            return ContentAction::Count;
        }
        let fits = |rule: &&Rule| rule.fits(class, place) && confidence >= rule.min_confidence;
        let credential = Selector::Group(ContentGroup::Credentials).takes(class);
        let rules = match expected {
            Expected::Credential if credential => self.rules.get(..self.own).unwrap_or_default(),
            _ => &self.rules,
        };
        match rules.iter().find(fits) {
            Some(rule) => rule.action,
            None if confidence > Confidence::Low => ContentAction::Count,
            None => ContentAction::Allow,
        }
    }

    /// Whether what stands for a value of this class is put back for this tool.
    #[must_use]
    pub fn reveals(&self, class: Class, tool: &ToolRef) -> bool {
        let place = Place {
            direction: Direction::Outbound,
            tool: Some((tool, Verb::default())),
        };
        self.reveal
            .iter()
            .any(|rule| !rule.tools.is_empty() && rule.fits(class, place))
    }

    /// Whether something is called this: a class, known or the tenant's, a group of them, or all.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        matches!(name, "all" | "custom" | "personal" | "credentials") || self.class(name).is_some()
    }

    /// The class of this name, known or the tenant's.
    pub(super) fn class(&self, name: &str) -> Option<Class> {
        class_of(name, &self.filter.custom)
    }
}

fn class_of(name: &str, custom: &Custom) -> Option<Class> {
    let own = || {
        let at = custom.names().iter().position(|known| known == name)?;
        Some(Class::Custom(u16::try_from(at).ok()?))
    };
    ContentClass::from_name(name).map(Class::Known).or_else(own)
}

impl Rule {
    fn compile(rule: &ContentRule, custom: &Custom) -> Result<Self, ContentProblem> {
        if rule.classes.is_empty()
            || rule.classes.len() > CONTENT_RULES_MAX
            || rule.tools.len() > CONTENT_RULES_MAX
        {
            return Err(ContentProblem::TooMany(
                "classes or tools in one rule, or no class",
            ));
        }
        let short = |text: &str| text.chars().take(64).collect::<String>();
        let selector = |name: &String| match name.as_str() {
            "all" => Ok(Selector::All),
            "custom" => Ok(Selector::Custom),
            "personal" => Ok(Selector::Group(ContentGroup::Personal)),
            "credentials" => Ok(Selector::Group(ContentGroup::Credentials)),
            name => class_of(name, custom)
                .map(Selector::One)
                .ok_or_else(|| ContentProblem::Class(short(name))),
        };
        let tool =
            |text: &String| ToolGlob::parse(text).ok_or_else(|| ContentProblem::Tool(short(text)));
        Ok(Self {
            classes: rule
                .classes
                .iter()
                .map(selector)
                .collect::<Result<_, _>>()?,
            direction: rule.direction,
            tools: rule.tools.iter().map(tool).collect::<Result<_, _>>()?,
            verbs: rule.verbs.clone(),
            min_confidence: rule.min_confidence,
            action: rule.action,
        })
    }

    fn fits(&self, class: Class, place: Place<'_>) -> bool {
        let of_class = self.classes.iter().any(|selector| selector.takes(class));
        let tool = match place.tool {
            Some((tool, verb)) => {
                (self.tools.is_empty() || self.tools.iter().any(|glob| glob.matches(tool)))
                    && (self.verbs.is_empty() || self.verbs.contains(&verb))
            }
            None => self.tools.is_empty() && self.verbs.is_empty(),
        };
        of_class
            && tool
            && self
                .direction
                .is_none_or(|direction| direction == place.direction)
    }
}

impl Selector {
    fn takes(self, class: Class) -> bool {
        match (self, class) {
            (Self::All, _) | (Self::Custom, Class::Custom(_)) => true,
            (Self::Group(group), Class::Known(class)) => class.group() == group,
            (Self::One(one), class) => one == class,
            _ => false,
        }
    }
}

/// What holds for a tenant that says nothing: keys do not leave and are not shown; a card number is not sent out to
/// people; everything else that is personal passes and is counted, as mail needs addresses and payments accounts.
fn standard() -> [Rule; 4] {
    let rule = |classes: Vec<Selector>, direction, verbs: Vec<Verb>, min_confidence, action| Rule {
        classes,
        direction,
        tools: Vec::new(),
        verbs,
        min_confidence,
        action,
    };
    let credentials = || vec![Selector::Group(ContentGroup::Credentials)];
    let cards = vec![Selector::One(Class::Known(ContentClass::PaymentCard))];
    [
        rule(
            credentials(),
            Some(Direction::Outbound),
            vec![],
            Confidence::High,
            ContentAction::Block,
        ),
        rule(
            credentials(),
            Some(Direction::Inbound),
            vec![],
            Confidence::High,
            ContentAction::Redact,
        ),
        rule(
            cards,
            Some(Direction::Outbound),
            vec![Verb::Outbound],
            Confidence::Medium,
            ContentAction::Block,
        ),
        rule(
            vec![Selector::All],
            None,
            vec![],
            Confidence::Medium,
            ContentAction::Count,
        ),
    ]
}
