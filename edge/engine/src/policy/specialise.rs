//! Partial evaluation: a policy's settings don't change between calls, so that rules which cannot hold with them are
//! left out of its program once, rather than tried at every call.
//!
//! The standard library asks much, and a tenant sets a part of it: `deny contains "outside_business_hours" if …` can't
//! hold where there is no `data.settings.hours`. A definition is left out only if it is *certain* to contribute
//! nothing, whatever the input: followed from its beginning, and through nothing but loads, look-ups, tests of types, loops over
//! settings and rules that are known already, it comes to a condition that the settings make false. Where anything else comes first,
//! a built-in that might fail for one, the definition stays.

use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::{GuardMode, LiteralOrRegister, LoopMode, LoopStartParams};
use regorus::rvm::program::{Program, RuleInfo, RuleType};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Most turns of a loop over settings that are gone through, and most instructions that one body is followed for.
const TURNS_MAX: usize = 64;
const STEPS_MAX: u32 = 4096;
/// Most instructions that are followed for one program, however many passes it takes: some tenths of a second. What is not looked
/// at any more stays, which is always right.
const ALL_STEPS_MAX: u32 = 1 << 21;

/// Leaves out what can't hold with this `data`.
pub(super) fn specialise(program: &mut Program, data: &Value) {
    let dead = Dead::find(program, data, ALL_STEPS_MAX).definitions;
    for (rule, dead) in program.rule_infos.iter_mut().zip(dead) {
        leave_out(rule, &dead);
        lighten(rule);
    }
}

/// The machine copies what it knows of a rule each time that it is called: lists that say "none" for each definition, and names,
/// which only the author is told, are not copied along.
fn lighten(rule: &mut RuleInfo) {
    rule.name = String::new();
    if let Some(function) = &mut rule.function_info {
        function.param_names = Vec::new();
    }
    if rule.destructuring_blocks.iter().all(Option::is_none) {
        rule.destructuring_blocks = Vec::new();
    }
    if rule.else_bodies.iter().flatten().all(|is_else| !is_else) {
        rule.else_bodies = Vec::new();
    }
}

/// One definition stays in any case: with none, a set would be undefined rather than empty.
fn leave_out(rule: &mut RuleInfo, dead: &[bool]) {
    let stays = |index: usize| {
        let spared = index == 0 && dead.iter().all(|dead| *dead);
        spared || !dead.get(index).copied().unwrap_or(false)
    };
    let definitions = rule.definitions.iter().enumerate();
    let kept: Vec<_> = definitions
        .filter(|(index, _)| stays(*index))
        .map(|(_, bodies)| bodies.clone())
        .collect();
    rule.definitions = Arc::new(kept);
    retain(&mut rule.destructuring_blocks, stays);
    retain(&mut rule.else_bodies, stays);
}

fn retain<T>(elements: &mut Vec<T>, stays: impl Fn(usize) -> bool) {
    let mut index = 0..;
    elements.retain(|_| index.next().is_some_and(&stays));
}

/// What is certain about the rules of a program.
struct Dead<'a> {
    program: &'a Program,
    data: &'a Value,
    /// Per rule and definition.
    definitions: Vec<Vec<bool>>,
    /// What a rule gives that has no other definitions than dead ones.
    results: Vec<Option<Value>>,
    /// Instructions that may still be followed.
    left: u32,
}

impl<'a> Dead<'a> {
    /// Looks until nothing new is found, in so many steps at most: a rule that gives nothing may decide another.
    fn find(program: &'a Program, data: &'a Value, most: u32) -> Self {
        let rules = &program.rule_infos;
        let definitions = |rule: &RuleInfo| vec![false; rule.definitions.len()];
        let mut found = Self {
            program,
            data,
            definitions: rules.iter().map(definitions).collect(),
            results: vec![None; rules.len()],
            left: most,
        };
        while found.pass() {}
        found
    }

    /// Looks at each definition that isn't known to be dead; `true` if one more is.
    fn pass(&mut self) -> bool {
        let mut found = false;
        let program = self.program;
        for (index, rule) in program.rule_infos.iter().enumerate() {
            let Some(known) = self.definitions.get(index).cloned() else {
                continue;
            };
            let bodies = rule.definitions.iter().zip(&known);
            let dead: Vec<bool> = bodies
                .map(|(bodies, known)| {
                    *known || bodies.iter().all(|entry| self.fails(rule, *entry))
                })
                .collect();
            found |= dead != known;
            if dead.iter().all(|dead| *dead) && rule.function_info.is_none() {
                let result = self.without_definitions(rule);
                if let Some(slot) = self.results.get_mut(index) {
                    *slot = Some(result);
                }
            }
            if let Some(slot) = self.definitions.get_mut(index) {
                *slot = dead;
            }
        }
        found
    }

    fn without_definitions(&self, rule: &RuleInfo) -> Value {
        let literal = |index: u16| self.program.literals.get(usize::from(index)).cloned();
        match rule.rule_type {
            RuleType::PartialSet => Value::new_set(),
            RuleType::PartialObject => Value::new_object(),
            RuleType::Complete => {
                let default = rule.default_literal_index.and_then(literal);
                default.unwrap_or(Value::Undefined)
            }
        }
    }

    /// Whether a body is certain to contribute nothing.
    fn fails(&mut self, rule: &RuleInfo, entry: u32) -> bool {
        let entry = usize::try_from(entry).unwrap_or(usize::MAX);
        let mut steps = 0..STEPS_MAX.min(self.left);
        let fails = self.fails_from(rule, entry, &mut Known::default(), &mut steps);
        self.left = self.left.saturating_sub(steps.start);
        fails
    }

    /// The same from an instruction on: to the end of the body, or of one turn of a loop.
    fn fails_from(
        &self,
        rule: &RuleInfo,
        mut pc: usize,
        known: &mut Known,
        steps: &mut Range<u32>,
    ) -> bool {
        while let Some(instruction) = self.program.instructions.get(pc) {
            if steps.next().is_none() {
                return false;
            }
            let step = match *instruction {
                Instruction::LoopStart { params_index } => {
                    self.loop_start(rule, params_index, known, steps)
                }
                _ => self.step(rule, instruction, known),
            };
            pc = match step {
                Step::Next => pc.saturating_add(1),
                // Only ever forward, so that this comes to an end.
                Step::Jump(target) if target > pc => target,
                Step::Fails => return true,
                Step::Jump(_) | Step::Uncertain => return false,
            };
        }
        false
    }

    fn step(&self, rule: &RuleInfo, instruction: &Instruction, known: &mut Known) -> Step {
        let literal = |index: u16| self.program.literals.get(usize::from(index));
        match *instruction {
            Instruction::RuleInit { result_reg, .. } => {
                let undefined = matches!(rule.rule_type, RuleType::Complete);
                known.set(result_reg, undefined.then_some(Value::Undefined))
            }
            Instruction::Load { dest, literal_idx } => {
                known.set(dest, literal(literal_idx).cloned())
            }
            Instruction::LoadTrue { dest } => known.set(dest, Some(Value::Bool(true))),
            Instruction::LoadFalse { dest } => known.set(dest, Some(Value::Bool(false))),
            Instruction::LoadNull { dest } => known.set(dest, Some(Value::Null)),
            Instruction::LoadBool { dest, value } => known.set(dest, Some(Value::Bool(value))),
            Instruction::LoadData { dest } => known.set(dest, Some(self.data.clone())),
            Instruction::LoadInput { dest } => known.set(dest, None),
            Instruction::Move { dest, src } => known.set(dest, known.get(src).cloned()),
            Instruction::Index {
                dest,
                container,
                key,
            } => known.index(dest, container, known.get(key).cloned()),
            Instruction::IndexLiteral {
                dest,
                container,
                literal_idx,
            } => known.index(dest, container, literal(literal_idx).cloned()),
            Instruction::ChainedIndex { params_index } => self.chained_index(params_index, known),
            Instruction::Eq { dest, left, right } => {
                known.compare(dest, left, right, |a, b| a == b)
            }
            Instruction::Ne { dest, left, right } => {
                known.compare(dest, left, right, |a, b| a != b)
            }
            Instruction::Not { dest, operand } => {
                let negated = known
                    .get(operand)
                    .map(|value| passes(value, GuardMode::Not));
                known.set(dest, negated.map(Value::Bool))
            }
            Instruction::Contains {
                dest,
                collection,
                value,
            } => {
                let held = contains(known.get(collection), known.get(value));
                known.set(dest, held)
            }
            // This can't fail either; what it gives doesn't matter yet.
            Instruction::Count { dest, .. } => known.set(dest, None),
            Instruction::BuiltinCall { params_index } => self.builtin_call(params_index, known),
            Instruction::CallRule { dest, rule_index } => {
                match self.results.get(usize::from(rule_index)) {
                    Some(Some(result)) => known.set(dest, Some(result.clone())),
                    _ => Step::Uncertain,
                }
            }
            Instruction::Guard { register, mode } => match known.get(register) {
                Some(value) if !passes(value, mode) => Step::Fails,
                _ => Step::Next,
            },
            // Come to the end without a condition on the input: whether it gives something is in the result.
            Instruction::RuleReturn {} => match (&rule.rule_type, known.get(rule.result_reg)) {
                (RuleType::Complete, Some(Value::Undefined)) => Step::Fails,
                (RuleType::Complete, _) => Step::Uncertain,
                (RuleType::PartialSet | RuleType::PartialObject, _) => Step::Fails,
            },
            // Writing to a set or an object would be among these.
            _ => Step::Uncertain,
        }
    }

    fn chained_index(&self, params_index: u16, known: &mut Known) -> Step {
        let data = &self.program.instruction_data;
        let Some(params) = data.chained_index_params.get(usize::from(params_index)) else {
            return Step::Uncertain;
        };
        let mut value = known.get(params.root).cloned();
        for component in &params.path_components {
            let key = match *component {
                LiteralOrRegister::Literal(index) => self.program.literals.get(usize::from(index)),
                LiteralOrRegister::Register(register) => known.get(register),
            };
            value = look_up(value.as_ref(), key);
        }
        known.set(params.dest, value)
    }

    /// A built-in isn't called with what is undefined; what others give, or whether they fail, is known of a few.
    fn builtin_call(&self, params_index: u16, known: &mut Known) -> Step {
        let data = &self.program.instruction_data;
        let Some(params) = data.get_builtin_call_params(params_index) else {
            return Step::Uncertain;
        };
        let arguments: Vec<_> = params
            .arg_registers()
            .iter()
            .map(|register| known.get(*register))
            .collect();
        if arguments.contains(&Some(&Value::Undefined)) {
            return known.set(params.dest, Some(Value::Undefined));
        }
        let builtin = self
            .program
            .builtin_info_table
            .get(usize::from(params.builtin_index));
        let arguments: Option<Vec<_>> = arguments.into_iter().collect();
        match builtin
            .zip(arguments)
            .and_then(|(builtin, arguments)| evaluate(&builtin.name, &arguments))
        {
            Some(value) => known.set(params.dest, Some(value)),
            None => Step::Uncertain,
        }
    }

    /// A loop of which no turn can succeed is passed by.
    fn loop_start(
        &self,
        rule: &RuleInfo,
        params_index: u16,
        known: &mut Known,
        steps: &mut Range<u32>,
    ) -> Step {
        let data = &self.program.instruction_data;
        let Some(params) = data.loop_params.get(usize::from(params_index)) else {
            return Step::Uncertain;
        };
        let LoopStartParams {
            mode: LoopMode::Any | LoopMode::ForEach,
            collection,
            key_reg,
            value_reg,
            result_reg,
            body_start,
            loop_end,
        } = *params
        else {
            return Step::Uncertain;
        };
        let Some(turns) = known.get(collection).and_then(turns) else {
            return Step::Uncertain;
        };
        known.set(result_reg, Some(Value::Bool(false)));
        for (key, value) in turns {
            // What is known is copied.
            if steps.nth(known.values.len()).is_none() {
                return Step::Uncertain;
            }
            let mut turn = known.turn();
            turn.set(key_reg, Some(key));
            turn.set(value_reg, Some(value));
            if !self.fails_from(rule, body_start.into(), &mut turn, steps) {
                return Step::Uncertain;
            }
            // What a turn leaves behind is not known to be there after others.
            known.forget_written(&turn);
        }
        Step::Jump(loop_end.into())
    }
}

/// Where a body goes on.
enum Step {
    Next,
    Jump(usize),
    /// Here it ends, and has contributed nothing.
    Fails,
    /// From here on it depends on the call, or isn't followed.
    Uncertain,
}

/// As the machine's `Guard` sees it.
fn passes(value: &Value, mode: GuardMode) -> bool {
    match (mode, value) {
        (GuardMode::Not, Value::Bool(value)) => !value,
        (GuardMode::Not, value) => *value == Value::Undefined,
        (GuardMode::Condition, Value::Bool(value)) => *value,
        (GuardMode::Condition | GuardMode::NotUndefined, value) => *value != Value::Undefined,
    }
}

/// The keys and values of a loop's turns; none over what is no collection. `None`: too many to go through.
fn turns(collection: &Value) -> Option<Vec<(Value, Value)>> {
    let turns: Vec<_> = match collection {
        Value::Array(elements) => (0_u64..)
            .map(Value::from)
            .zip(elements.iter().cloned())
            .take(TURNS_MAX)
            .collect(),
        Value::Set(elements) => elements
            .iter()
            .map(|element| (element.clone(), element.clone()))
            .take(TURNS_MAX)
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .take(TURNS_MAX)
            .collect(),
        _ => Vec::new(),
    };
    (turns.len() < TURNS_MAX).then_some(turns)
}

fn contains(collection: Option<&Value>, value: Option<&Value>) -> Option<Value> {
    let value = value.filter(|value| **value != Value::Undefined)?;
    let held = match collection? {
        Value::Set(elements) => elements.contains(value),
        Value::Array(elements) => elements.contains(value),
        _ => return None,
    };
    Some(Value::Bool(held))
}

/// What a built-in gives that can't fail with these arguments; `None`: not known.
fn evaluate(builtin: &str, arguments: &[&Value]) -> Option<Value> {
    let held = match (builtin, arguments) {
        ("is_array", [value]) => matches!(value, Value::Array(_)),
        ("is_boolean", [value]) => matches!(value, Value::Bool(_)),
        ("is_null", [value]) => matches!(value, Value::Null),
        ("is_number", [value]) => matches!(value, Value::Number(_)),
        ("is_object", [value]) => matches!(value, Value::Object(_)),
        ("is_set", [value]) => matches!(value, Value::Set(_)),
        ("is_string", [value]) => matches!(value, Value::String(_)),
        ("contains", [Value::String(text), Value::String(part)]) => text.contains(&**part),
        ("startswith", [Value::String(text), Value::String(start)]) => text.starts_with(&**start),
        ("object.get", [Value::Object(members), key @ Value::String(_), default]) => {
            let found = members.get(key);
            return Some(found.unwrap_or(*default).clone());
        }
        _ => return None,
    };
    Some(Value::Bool(held))
}

/// In what is undefined nothing is found, whatever is looked for.
fn look_up(container: Option<&Value>, key: Option<&Value>) -> Option<Value> {
    match (container?, key) {
        (Value::Undefined, _) => Some(Value::Undefined),
        (container, key) => Some(container[key?].clone()),
    }
}

/// The registers whose values are known, whatever the input.
#[derive(Default)]
struct Known {
    values: BTreeMap<u8, Value>,
    /// Those that were written, with a known value or another.
    written: BTreeSet<u8>,
}

impl Known {
    /// What is known where a turn of a loop begins.
    fn turn(&self) -> Self {
        Self {
            values: self.values.clone(),
            written: BTreeSet::new(),
        }
    }

    /// Of what a turn wrote nothing is known behind it.
    fn forget_written(&mut self, turn: &Self) {
        for register in &turn.written {
            self.set(*register, None);
        }
    }

    fn get(&self, register: u8) -> Option<&Value> {
        self.values.get(&register)
    }

    fn set(&mut self, register: u8, value: Option<Value>) -> Step {
        self.written.insert(register);
        match value {
            Some(value) => self.values.insert(register, value),
            None => self.values.remove(&register),
        };
        Step::Next
    }

    /// What is undefined is neither equal nor unequal to anything.
    fn compare(
        &mut self,
        dest: u8,
        left: u8,
        right: u8,
        holds: impl Fn(&Value, &Value) -> bool,
    ) -> Step {
        let value = match (self.get(left), self.get(right)) {
            (Some(Value::Undefined), _) | (_, Some(Value::Undefined)) => Some(Value::Undefined),
            (Some(left), Some(right)) => Some(Value::Bool(holds(left, right))),
            _ => None,
        };
        self.set(dest, value)
    }

    fn index(&mut self, dest: u8, container: u8, key: Option<Value>) -> Step {
        let value = look_up(self.get(container), key.as_ref());
        self.set(dest, value)
    }
}

#[cfg(test)]
mod tests;
