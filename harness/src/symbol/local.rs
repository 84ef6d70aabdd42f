//! The local variables that live in a frame, and where.

use gimli::{
    AttributeValue, DW_AT_frame_base, DW_AT_location, Dwarf, EvaluationResult, Expression, Location,
};

use super::LoadedModule;
use super::Symbolizer;
use super::debug::{Entry, Indexed};
use super::image::Reader;
use super::type_name::short;
use super::unwind::Registers;
use super::value::Value;

/// Steps of one expression: they may loop.
const STEPS_MAX: u32 = 1000;

/// A local variable in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) type_name: Option<String>,
    /// What it is, to be looked into.
    pub(crate) value: Option<Value>,
    pub(crate) address: u64,
    pub(crate) bytes: u64,
}

/// A frame of a thread that stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackFrame {
    pub(crate) registers: Registers,
    /// The address by which its function is known: the instruction that it stands at, or its call.
    pub(crate) code: u64,
    /// Where its part of the stack ends.
    pub(crate) end: u64,
}

impl Symbolizer {
    /// The frames of a thread, innermost first, as far as they can be told; `read` gives words of its stack.
    pub(crate) fn stack_frames(
        &mut self,
        modules: &[LoadedModule],
        registers: Registers,
        read: &dyn Fn(u64) -> Option<u64>,
    ) -> Vec<StackFrame> {
        const FRAMES_MAX: usize = 256;
        let mut frames: Vec<StackFrame> = Vec::new();
        let mut registers = registers;
        while frames.len() < FRAMES_MAX {
            // Of a caller the instruction before the return is meant.
            let code = registers[16] - u64::from(!frames.is_empty());
            let Some(module) = modules.iter().find(|module| module.holds(code)) else { break };
            if !self.open(module) {
                break;
            }
            let image = self.files.get(&module.path).and_then(|file| file.image.as_ref());
            let unwind = image.and_then(|image| image.unwind());
            let caller = unwind
                .and_then(|unwind| unwind.caller(code.wrapping_sub(module.bias), &registers, read));
            let Some((caller, end)) = caller else { break };
            frames.push(StackFrame { registers, code, end });
            registers = caller;
        }
        frames
    }

    /// The local variables of a frame that are in memory.
    pub(crate) fn locals(&mut self, module: &LoadedModule, frame: &StackFrame) -> Vec<Local> {
        let locals = || {
            let address = frame.code.wrapping_sub(module.bias);
            let (units, unit) = self.files.get(&module.path)?.image.as_ref()?.unit_of(address)?;
            Some(in_function(module, units.dwarf(), &unit, address, frame))
        };
        locals().unwrap_or_default()
    }
}

fn in_function(
    module: &LoadedModule,
    dwarf: &Dwarf<Reader>,
    unit: &Indexed,
    address: u64,
    frame: &StackFrame,
) -> Vec<Local> {
    let read = || -> Option<Vec<Local>> {
        let function = unit.function(address)?;
        let entry = unit.unit.entry(function).ok()?;
        let base = base(unit, &entry, frame)?;
        let mut locals = Vec::new();
        unit.each_at(dwarf, function, address, |entry| {
            if matches!(entry.tag(), gimli::DW_TAG_variable | gimli::DW_TAG_formal_parameter) {
                locals.extend(local(module, dwarf, unit, entry, address, base, frame));
            }
        })?;
        Some(locals)
    };
    read().unwrap_or_default()
}

fn local(
    module: &LoadedModule,
    dwarf: &Dwarf<Reader>,
    unit: &Indexed,
    entry: &Entry,
    address: u64,
    base: u64,
    frame: &StackFrame,
) -> Option<Local> {
    let expression = match entry.attr_value(DW_AT_location)? {
        AttributeValue::Exprloc(expression) => expression,
        value => located(dwarf, unit, value, address)?,
    };
    let at = place(unit, expression, base, frame)?;
    let kind = unit.type_of(entry)?;
    Some(Local {
        name: unit.text(dwarf, entry, gimli::DW_AT_name)?,
        type_name: unit.type_name(dwarf, kind).map(|name| short(&name)),
        value: unit.start().map(|start| Value::of(module, start, kind)),
        address: at,
        bytes: unit.bytes(kind)?,
    })
}

/// The location that a list has for an address.
fn located(
    dwarf: &Dwarf<Reader>,
    unit: &Indexed,
    value: AttributeValue<Reader>,
    address: u64,
) -> Option<Expression<Reader>> {
    let mut list = dwarf.attr_locations(&unit.unit, value).ok()??;
    while let Ok(Some(entry)) = list.next() {
        if (entry.range.begin..entry.range.end).contains(&address) {
            return Some(entry.data);
        }
    }
    None
}

/// What a function's locals are counted from.
fn base(unit: &Indexed, entry: &Entry, frame: &StackFrame) -> Option<u64> {
    let expression = entry.attr_value(DW_AT_frame_base)?.exprloc_value()?;
    match evaluate(unit, expression, None, frame)? {
        Location::Address { address } => Some(address),
        // The value of the register, not the register.
        Location::Register { register } => frame.registers.get(usize::from(register.0)).copied(),
        _ => None,
    }
}

/// Where a variable is whose location is one place in memory, and no value or several parts.
fn place(
    unit: &Indexed,
    expression: Expression<Reader>,
    base: u64,
    frame: &StackFrame,
) -> Option<u64> {
    match evaluate(unit, expression, Some(base), frame)? {
        Location::Address { address } => Some(address),
        _ => None,
    }
}

/// The one location that an expression comes to by what is known of a frame (DWARF 4, 2.5 and 2.6).
fn evaluate(
    unit: &Indexed,
    expression: Expression<Reader>,
    base: Option<u64>,
    frame: &StackFrame,
) -> Option<Location<Reader>> {
    let mut evaluation = expression.evaluation(unit.unit.encoding());
    evaluation.set_max_iterations(STEPS_MAX);
    let mut result = evaluation.evaluate().ok()?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresFrameBase => evaluation.resume_with_frame_base(base?),
            EvaluationResult::RequiresCallFrameCfa => {
                evaluation.resume_with_call_frame_cfa(frame.end)
            }
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = *frame.registers.get(usize::from(register.0))?;
                evaluation.resume_with_register(gimli::Value::Generic(value))
            }
            _ => return None,
        }
        .ok()?;
    }
    match evaluation.as_result() {
        [piece] if piece.size_in_bits.is_none() => Some(piece.location.clone()),
        _ => None,
    }
}
