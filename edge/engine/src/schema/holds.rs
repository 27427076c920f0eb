//! Which parts of a schema are schemas.

/// What a value inside of a schema holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Holds {
    /// A schema, or something that may have some inside.
    Schema,
    /// Schemas by names that are no keywords.
    Named,
    /// Values that are shown, or compared with: what looks like a keyword in them is none.
    Data,
}

impl Holds {
    /// What the value of this keyword holds. One that is not known may hold schemas, to which references lead.
    pub(super) fn of(keyword: &str) -> Self {
        match keyword {
            "const" | "default" | "enum" | "example" | "examples" => Self::Data,
            "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties"
            | "properties" => Self::Named,
            _ if keyword.starts_with("x-") => Self::Data,
            _ => Self::Schema,
        }
    }

    /// What a member of this name holds.
    pub(super) fn member(self, name: &str) -> Self {
        match self {
            Self::Schema => Self::of(name),
            Self::Named => Self::Schema,
            Self::Data => Self::Data,
        }
    }

    /// What an element holds.
    pub(super) fn element(self) -> Self {
        match self {
            Self::Schema | Self::Named => Self::Schema,
            Self::Data => Self::Data,
        }
    }
}
