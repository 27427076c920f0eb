//! What follows from the shape of a program alone, before it runs:
//!
//! * rules call each other without a circle and not too deep, as the machine recurses on its own stack;
//! * no value is built that shares its parts so often that comparing it never ends. Sixty lines of
//!   `x1 := [x0, x0]`, `x2 := [x1, x1]`, … make a value of 2^60 leaves, and `==` visits each of them within one
//!   instruction, where no timer looks.
//!
//! The second is an estimate from above: per register, how many times a leaf may be reached. Reading from the input
//! or the data counts one, building from parts adds their counts up. What a comprehension collects is not added
//! up: each element costs an instruction, and those are counted when it runs.

use super::PolicyProblem;
use regorus::rvm::Instruction;
use regorus::rvm::program::Program;
use std::collections::BTreeMap;

/// Longest chain of rules that call each other.
const CALLS_DEEP_MAX: usize = 48;
/// Most times that a leaf of a value may be reached.
const SHARING_MAX: u64 = 4_096;
/// Most passes until the estimate must have settled.
const PASSES_MAX: usize = 64;

/// Refuses programs that could run away within one instruction or on the stack.
pub(super) fn check(program: &Program) -> Result<(), PolicyProblem> {
    let owners = owners(program);
    check_calls(program, &owners)?;
    Sharing::check(program, &owners)
}

/// The rule that each instruction belongs to: the one whose entry is next above.
fn owners(program: &Program) -> Vec<Option<usize>> {
    let mut entries = BTreeMap::new();
    for (rule, info) in program.rule_infos.iter().enumerate() {
        let bodies = info.definitions.iter().flatten();
        for entry in bodies.chain(info.destructuring_blocks.iter().flatten()) {
            entries.insert(usize::try_from(*entry).unwrap_or(usize::MAX), rule);
        }
    }
    let owner = |pc| entries.range(..=pc).next_back().map(|(_, rule)| *rule);
    (0..program.instructions.len()).map(owner).collect()
}

/// The rule that an instruction calls.
fn callee(program: &Program, instruction: &Instruction) -> Option<usize> {
    match *instruction {
        Instruction::CallRule { rule_index, .. } => Some(rule_index.into()),
        Instruction::FunctionCall { params_index } => {
            let params = program
                .instruction_data
                .get_function_call_params(params_index)?;
            Some(params.func_rule_index.into())
        }
        _ => None,
    }
}

fn check_calls(program: &Program, owners: &[Option<usize>]) -> Result<(), PolicyProblem> {
    let mut callees = vec![Vec::new(); program.rule_infos.len()];
    for (instruction, owner) in program.instructions.iter().zip(owners) {
        if matches!(instruction, Instruction::VirtualDataDocumentLookup { .. }) {
            let message = "data[…] with a computed name could reach any rule: name the rule";
            return Err(PolicyProblem::whole(message));
        }
        if let (Some(callee), Some(calls)) = (
            callee(program, instruction),
            owner.and_then(|rule| callees.get_mut(rule)),
        ) {
            calls.push(callee);
        }
    }
    // Rules whose callees are all known to be shallow are shallow themselves; who never becomes so is in a circle.
    let mut depths: Vec<Option<usize>> = vec![None; callees.len()];
    for _ in 0..CALLS_DEEP_MAX {
        let known = depths.clone();
        for (depth, calls) in depths.iter_mut().zip(&callees) {
            let below = calls
                .iter()
                .map(|callee| known.get(*callee).copied().flatten())
                .try_fold(0, |deepest: usize, depth| Some(deepest.max(depth?)));
            *depth = below.map(|below| below.saturating_add(1));
        }
        if known == depths {
            break;
        }
    }
    match depths.iter().position(Option::is_none) {
        None => Ok(()),
        Some(rule) => {
            let name = program
                .rule_infos
                .get(rule)
                .map_or("a rule", |info| &info.name);
            let message = format!("{name} calls itself, or too long a chain of rules");
            Err(PolicyProblem::whole(message))
        }
    }
}

/// The estimate of sharing, per rule.
#[derive(Clone, PartialEq)]
struct Sharing {
    /// Of what a rule gives.
    results: Vec<u64>,
    /// Of the largest argument that a function is called with.
    arguments: Vec<u64>,
}

impl Sharing {
    fn check(program: &Program, owners: &[Option<usize>]) -> Result<(), PolicyProblem> {
        let rules = program.rule_infos.len();
        let mut sharing = Self {
            results: vec![1; rules],
            arguments: vec![1; rules],
        };
        for _ in 0..PASSES_MAX {
            let before = sharing.clone();
            if !sharing.pass(program, owners) {
                break;
            }
            if before == sharing {
                return Ok(());
            }
        }
        Err(PolicyProblem::whole(
            "values are nested into each other too often",
        ))
    }

    /// One pass over the program in order; within a rule, values only flow forward. `false`: over the limit.
    fn pass(&mut self, program: &Program, owners: &[Option<usize>]) -> bool {
        let mut current = None;
        let mut frame = Frame::default();
        for (instruction, owner) in program.instructions.iter().zip(owners) {
            if current != *owner {
                current = *owner;
                frame = Frame::default();
                let argument = owner.and_then(|rule| self.arguments.get(rule));
                frame.default = argument.copied().unwrap_or(1);
            }
            let written = self.step(program, instruction, &mut frame);
            if written > SHARING_MAX {
                return false;
            }
            let result = owner.and_then(|rule| {
                let register = program.rule_infos.get(rule)?.result_reg;
                Some((self.results.get_mut(rule)?, frame.get(register)))
            });
            if let Some((result, value)) = result {
                *result = value.max(*result);
            }
        }
        true
    }

    /// The effect of one instruction; gives the estimate that it wrote.
    fn step(&mut self, program: &Program, instruction: &Instruction, frame: &mut Frame) -> u64 {
        let data = &program.instruction_data;
        match *instruction {
            Instruction::Move { dest, src } => frame.set(dest, frame.get(src)),
            Instruction::Index {
                dest, container, ..
            }
            | Instruction::IndexLiteral {
                dest, container, ..
            } => frame.set(dest, frame.get(container)),
            Instruction::ChainedIndex { params_index } => {
                match data.chained_index_params.get(usize::from(params_index)) {
                    Some(params) => frame.set(params.dest, frame.get(params.root)),
                    None => u64::MAX,
                }
            }
            Instruction::ObjectCreate { params_index } => {
                let Some(params) = data.object_create_params.get(usize::from(params_index)) else {
                    return u64::MAX;
                };
                let keyed = params.fields.iter().flat_map(|(key, value)| [*key, *value]);
                let parts = params.literal_key_fields.iter().map(|(_, value)| *value);
                frame.build(params.dest, parts.chain(keyed))
            }
            Instruction::ArrayCreate { params_index } => {
                match data.array_create_params.get(usize::from(params_index)) {
                    Some(params) => frame.build(params.dest, params.elements.iter().copied()),
                    None => u64::MAX,
                }
            }
            Instruction::SetCreate { params_index } => {
                match data.set_create_params.get(usize::from(params_index)) {
                    Some(params) => frame.build(params.dest, params.elements.iter().copied()),
                    None => u64::MAX,
                }
            }
            Instruction::ObjectSet { obj, key, value } => frame.build(obj, [obj, key, value]),
            Instruction::ArrayPush { arr, value }
            | Instruction::ArrayPushDefined { arr, value } => frame.build(arr, [arr, value]),
            Instruction::SetAdd { set, value } => frame.build(set, [set, value]),
            Instruction::LoopStart { params_index } => {
                let Some(params) = data.loop_params.get(usize::from(params_index)) else {
                    return u64::MAX;
                };
                let element = frame.get(params.collection);
                frame.set(params.key_reg, element);
                frame.set(params.value_reg, element)
            }
            Instruction::ComprehensionBegin { params_index } => {
                let Some(params) = data
                    .comprehension_begin_params
                    .get(usize::from(params_index))
                else {
                    return u64::MAX;
                };
                let element = frame.get(params.collection_reg);
                frame.set(params.key_reg, element);
                frame.set(params.value_reg, element);
                frame.collecting.push((params.result_reg, 1));
                element
            }
            Instruction::ComprehensionYield { value_reg, key_reg } => {
                let key = key_reg.map_or(0, |key| frame.get(key));
                let yielded = frame.get(value_reg).saturating_add(key);
                if let Some((_, most)) = frame.collecting.last_mut() {
                    *most = yielded.max(*most);
                }
                yielded
            }
            Instruction::ComprehensionEnd {} => match frame.collecting.pop() {
                Some((register, most)) => frame.set(register, most),
                None => u64::MAX,
            },
            Instruction::CallRule { dest, rule_index } => {
                let result = self.results.get(usize::from(rule_index)).copied();
                frame.set(dest, result.unwrap_or(u64::MAX))
            }
            Instruction::FunctionCall { params_index } => {
                let Some(params) = data.get_function_call_params(params_index) else {
                    return u64::MAX;
                };
                let rule = usize::from(params.func_rule_index);
                let argument = frame.most(params.arg_registers());
                if let Some(most) = self.arguments.get_mut(rule) {
                    *most = argument.max(*most);
                }
                let result = self.results.get(rule).copied();
                frame.set(params.dest, result.unwrap_or(u64::MAX))
            }
            Instruction::BuiltinCall { params_index } => {
                let Some(params) = data.get_builtin_call_params(params_index) else {
                    return u64::MAX;
                };
                // None of the allowed ones puts its arguments into each other; `object.get` gives either one.
                frame.set(params.dest, frame.most(params.arg_registers()))
            }
            Instruction::Load { dest, .. }
            | Instruction::LoadInput { dest }
            | Instruction::LoadData { dest }
            | Instruction::ArrayNew { dest }
            | Instruction::SetNew { dest } => frame.set(dest, 1),
            Instruction::Sub { dest, left, right } => frame.set(dest, frame.most(&[left, right])),
            // All others write a scalar, or nothing that reaches a value.
            _ => 1,
        }
    }
}

/// The registers of the rule that is being looked at.
#[derive(Default)]
struct Frame {
    /// Of registers that were not written yet: the arguments.
    default: u64,
    registers: BTreeMap<u8, u64>,
    /// Result register and largest element of the comprehensions around.
    collecting: Vec<(u8, u64)>,
}

impl Frame {
    fn get(&self, register: u8) -> u64 {
        let written = self.registers.get(&register).copied();
        written.unwrap_or(self.default.max(1))
    }

    fn set(&mut self, register: u8, value: u64) -> u64 {
        self.registers.insert(register, value);
        value
    }

    fn most(&self, registers: &[u8]) -> u64 {
        let values = registers.iter().map(|register| self.get(*register));
        values.max().unwrap_or(1)
    }

    fn build(&mut self, dest: u8, parts: impl IntoIterator<Item = u8>) -> u64 {
        let sum = parts
            .into_iter()
            .fold(0_u64, |sum, part| sum.saturating_add(self.get(part)));
        self.set(dest, sum.max(1))
    }
}
