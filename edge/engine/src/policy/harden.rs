//! Rewriting a compiled program so that an error anywhere ends the evaluation.
//!
//! The register machine takes most errors inside a rule's body for "this body does not hold": with a failing
//! built-in, `deny contains "x" if …` silently contributes nothing, and the call is allowed. Only errors of limits
//! pass through. So before a program runs,
//!
//! * each built-in gets a guard around it that turns its errors into one of a limit, bounds its arguments, and keeps
//!   count of the work done in one evaluation: the machine's own timer does not look while a built-in runs;
//! * arithmetic and ordering instructions, which have the same flaw (and grow integers without bound), become calls
//!   of our own built-ins, one for one, so that no jump moves;
//! * rules whose definitions may contradict each other are refused: the machine takes a contradiction for
//!   "undefined". The decision itself may: undefined, it refuses the call.

use super::builtins::{Cost, cost};
use super::{ENTRY_POINT, PolicyProblem};
use crate::limits::{POLICY_ELEMENTS_MAX, POLICY_STRING_BYTES_MAX, POLICY_WORK_MAX};
use regorus::rvm::Instruction;
use regorus::rvm::instructions::BuiltinCallParams;
use regorus::rvm::program::{BuiltinInfo, Program, RuleType};
use regorus::{LimitError, Value};
use std::any::Any;
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

/// A built-in's function. `S` and `R` are regorus' types of source spans and expressions, which have no public
/// names; they are inferred from the program.
type Native<S, R> = fn(&S, &[R], &[Value], bool) -> anyhow::Result<Value>;

/// The rewritten program.
pub(super) fn harden(program: &Program) -> Result<Program, PolicyProblem> {
    check_contradictions(program)?;
    let mut program = program.clone();
    let names: Vec<String> = program
        .builtin_info_table
        .iter()
        .map(|info| info.name.clone())
        .collect();
    guard_all(&mut program.resolved_builtins, &names)?;

    let first = program.builtin_info_table.len();
    for (name, _) in OPERATORS {
        program.builtin_info_table.push(BuiltinInfo {
            name: (*name).to_owned(),
            num_args: 2,
        });
    }
    add_operators(&mut program.resolved_builtins);

    let mut instructions = std::mem::take(&mut program.instructions);
    for instruction in &mut instructions {
        let Some((operator, [dest, left, right])) = operator(instruction) else {
            continue;
        };
        let calls = program.instruction_data.builtin_call_params.len();
        let (Ok(builtin_index), true) = (
            u16::try_from(first.saturating_add(operator)),
            calls < usize::from(u16::MAX),
        ) else {
            return Err(PolicyProblem::whole("the policy is too large"));
        };
        let params_index = program.add_builtin_call_params(BuiltinCallParams {
            dest,
            builtin_index,
            num_args: 2,
            args: [left, right, 0, 0, 0, 0, 0, 0],
        });
        *instruction = Instruction::BuiltinCall { params_index };
    }
    program.instructions = instructions;
    program.validate_limits().map_err(PolicyProblem::whole)?;
    Ok(program)
}

fn check_contradictions(program: &Program) -> Result<(), PolicyProblem> {
    for rule in &program.rule_infos {
        let several = rule.definitions.len() > 1 && !rule.early_exit_on_first_success;
        if several && rule.rule_type == RuleType::Complete && rule.name != ENTRY_POINT {
            return Err(PolicyProblem::whole(format!(
                "{} has several definitions with different values: join them with else",
                rule.name
            )));
        }
    }
    Ok(())
}

/// The error that the machine lets through. Which limit it names doesn't matter: it reads as a policy error.
fn fatal() -> anyhow::Error {
    anyhow::Error::new(LimitError::RegexSizeLimitExceeded { limit: 0 })
}

thread_local! {
    /// Work of the built-ins since [`start`], on this worker.
    static WORK: Cell<u64> = const { Cell::new(0) };
}

/// Begins an evaluation on this thread: no work done yet.
pub(super) fn start() {
    WORK.set(0);
}

/// Counts work; too much of it in one evaluation is an error.
fn work(units: u64) -> anyhow::Result<()> {
    let total = WORK.get().saturating_add(units);
    WORK.set(total);
    if total <= POLICY_WORK_MAX {
        return Ok(());
    }
    let (elapsed, limit) = (Duration::ZERO, Duration::ZERO);
    Err(anyhow::Error::new(LimitError::TimeLimitExceeded {
        elapsed,
        limit,
    }))
}

/// Size of a value, without looking into its elements: bytes, or 16 for each element.
fn size(value: &Value) -> u64 {
    let elements = match value {
        Value::String(text) => return u64::try_from(text.len()).unwrap_or(u64::MAX),
        Value::Array(elements) => elements.len(),
        Value::Set(elements) => elements.len(),
        Value::Object(members) => members.len(),
        _ => return 0,
    };
    u64::try_from(elements)
        .unwrap_or(u64::MAX)
        .saturating_mul(16)
}

fn sizes(args: &[Value]) -> u64 {
    args.iter()
        .fold(0, |sum: u64, arg| sum.saturating_add(size(arg)))
}

/// Most different built-ins over all policies: those of the allow-list, and two for the set operators.
const GUARDS: usize = 64;

/// The functions under guard, by their place in [`super::builtins::ALL`].
static GUARDED: [OnceLock<Box<dyn Any + Send + Sync>>; GUARDS] =
    [const { OnceLock::new() }; GUARDS];

fn guard_all<S: 'static, R: 'static>(
    table: &mut [(Native<S, R>, u8)],
    names: &[String],
) -> Result<(), PolicyProblem> {
    let unknown = || PolicyProblem::whole("a built-in that cannot be guarded");
    if table.len() != names.len() {
        return Err(unknown());
    }
    for ((function, _), name) in table.iter_mut().zip(names) {
        let index = super::builtins::index(name).ok_or_else(unknown)?;
        let cell = GUARDED.get(index).ok_or_else(unknown)?;
        cell.get_or_init(|| Box::new(*function));
        let guards = guards::<S, R>();
        *function = match cost(name) {
            Some(Cost::Cheap) => guards.get(index).map(|(cheap, _)| *cheap),
            Some(Cost::Heavy) => guards.get(index).map(|(_, heavy)| *heavy),
            None => None,
        }
        .ok_or_else(unknown)?;
    }
    Ok(())
}

/// Calls a built-in that takes one fast pass over its arguments at most.
fn guard_cheap<S: 'static, R: 'static, const INDEX: usize>(
    span: &S,
    exprs: &[R],
    args: &[Value],
    _strict: bool,
) -> anyhow::Result<Value> {
    work(sizes(args) / 16)?;
    call::<S, R, INDEX>(span, exprs, args)
}

/// Calls the built-in at `INDEX`; its errors are fatal.
fn call<S: 'static, R: 'static, const INDEX: usize>(
    span: &S,
    exprs: &[R],
    args: &[Value],
) -> anyhow::Result<Value> {
    let function = GUARDED
        .get(INDEX)
        .and_then(OnceLock::get)
        .and_then(|function| function.downcast_ref::<Native<S, R>>())
        .ok_or_else(fatal)?;
    function(span, exprs, args, true).map_err(|_| fatal())
}

/// Calls a built-in with more to do; arguments that are too large are an error.
fn guard_heavy<S: 'static, R: 'static, const INDEX: usize>(
    span: &S,
    exprs: &[R],
    args: &[Value],
    _strict: bool,
) -> anyhow::Result<Value> {
    let moderate = |value: &Value| match value {
        Value::String(text) => text.len() <= POLICY_STRING_BYTES_MAX,
        Value::Array(elements) => elements.len() <= POLICY_ELEMENTS_MAX,
        Value::Set(elements) => elements.len() <= POLICY_ELEMENTS_MAX,
        Value::Object(members) => members.len() <= POLICY_ELEMENTS_MAX,
        _ => true,
    };
    if !args.iter().all(moderate) {
        return Err(fatal());
    }
    // A pattern is compiled anew at each call.
    let flat = if super::builtins::is_pattern(INDEX) {
        50_000
    } else {
        100
    };
    work(sizes(args).saturating_add(flat))?;
    call::<S, R, INDEX>(span, exprs, args)
}

macro_rules! guard_table {
    ($($index:literal)+) => {
        /// The guards of both kinds, by index.
        fn guards<S: 'static, R: 'static>() -> [(Native<S, R>, Native<S, R>); GUARDS] {
            [$((guard_cheap::<S, R, $index>, guard_heavy::<S, R, $index>)),+]
        }
    };
}

guard_table! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
}

/// A binary operator; `None` is an error.
type Operator = fn(&Value, &Value) -> Option<Value>;

/// Our own arithmetic and ordering, in the order of [`operator`]'s indexes.
const OPERATORS: &[(&str, Operator)] = &[
    ("proctor.add", |a, b| {
        arithmetic(a, b, i64::checked_add, |a, b| a + b)
    }),
    ("proctor.sub", subtract),
    ("proctor.mul", |a, b| {
        arithmetic(a, b, i64::checked_mul, |a, b| a * b)
    }),
    ("proctor.div", divide),
    ("proctor.mod", remainder),
    ("proctor.lt", |a, b| {
        order(a, b).map(|order| order.is_lt().into())
    }),
    ("proctor.le", |a, b| {
        order(a, b).map(|order| order.is_le().into())
    }),
    ("proctor.gt", |a, b| {
        order(a, b).map(|order| order.is_gt().into())
    }),
    ("proctor.ge", |a, b| {
        order(a, b).map(|order| order.is_ge().into())
    }),
];

/// Index of the operator that an instruction is, and its registers.
fn operator(instruction: &Instruction) -> Option<(usize, [u8; 3])> {
    Some(match *instruction {
        Instruction::Add { dest, left, right } => (0, [dest, left, right]),
        Instruction::Sub { dest, left, right } => (1, [dest, left, right]),
        Instruction::Mul { dest, left, right } => (2, [dest, left, right]),
        Instruction::Div { dest, left, right } => (3, [dest, left, right]),
        Instruction::Mod { dest, left, right } => (4, [dest, left, right]),
        Instruction::Lt { dest, left, right } => (5, [dest, left, right]),
        Instruction::Le { dest, left, right } => (6, [dest, left, right]),
        Instruction::Gt { dest, left, right } => (7, [dest, left, right]),
        Instruction::Ge { dest, left, right } => (8, [dest, left, right]),
        _ => return None,
    })
}

fn add_operators<S: 'static, R: 'static>(table: &mut Vec<(Native<S, R>, u8)>) {
    fn run<S, R, const INDEX: usize>(
        _: &S,
        _: &[R],
        args: &[Value],
        _: bool,
    ) -> anyhow::Result<Value> {
        match (OPERATORS.get(INDEX), args) {
            (Some((_, operator)), [left, right]) => operator(left, right).ok_or_else(fatal),
            _ => Err(fatal()),
        }
    }
    let operators: [Native<S, R>; 9] = [
        run::<S, R, 0>,
        run::<S, R, 1>,
        run::<S, R, 2>,
        run::<S, R, 3>,
        run::<S, R, 4>,
        run::<S, R, 5>,
        run::<S, R, 6>,
        run::<S, R, 7>,
        run::<S, R, 8>,
    ];
    table.extend(operators.map(|operator| (operator, 2)));
}

/// A number as 64-bit integer, if it is one.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().ok()
}

/// A finite number as a double.
fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(_) => value.as_f64().ok().filter(|number| number.is_finite()),
        _ => None,
    }
}

fn finite(number: f64) -> Option<Value> {
    number.is_finite().then(|| Value::from(number))
}

/// In 64-bit integers where both are; overflow is an error rather than a number that grows without bound.
fn arithmetic(
    a: &Value,
    b: &Value,
    exact: fn(i64, i64) -> Option<i64>,
    inexact: fn(f64, f64) -> f64,
) -> Option<Value> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => exact(a, b).map(Value::from),
        _ => finite(inexact(double(a)?, double(b)?)),
    }
}

fn subtract(a: &Value, b: &Value) -> Option<Value> {
    match (a, b) {
        (Value::Set(a), Value::Set(b)) => Some(Value::from(a.difference(b))),
        _ => arithmetic(a, b, i64::checked_sub, |a, b| a - b),
    }
}

fn divide(a: &Value, b: &Value) -> Option<Value> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) if a.checked_rem(b)? == 0 => a.checked_div(b).map(Value::from),
        _ => finite(double(a)? / double(b)?),
    }
}

fn remainder(a: &Value, b: &Value) -> Option<Value> {
    integer(a)?.checked_rem(integer(b)?).map(Value::from)
}

/// Numbers with numbers and texts with texts; comparing anything else is a mistake.
fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
