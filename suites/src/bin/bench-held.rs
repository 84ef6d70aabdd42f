//! What the bench `held` times: cases that keep many blocks, and leak one more in each round.
//!
//! `bench-held --exact vec_1000000`: a vector of so many boxes; `map_1000000`: a map of strings to boxes, whose
//! blocks lie anywhere in each other's order.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use watertight::{Case, Context, Failed, Suite};

/// Rounds of each case: heap needs one to warm up and three that agree.
const ROUNDS: u32 = 4;

#[expect(clippy::vec_box, reason = "a block for each is what is measured")]
static VEC: Mutex<Vec<Box<[u64; 6]>>> = Mutex::new(Vec::new());
static MAP: Mutex<Option<HashMap<String, Box<[u64; 3]>>>> = Mutex::new(None);
#[expect(clippy::vec_box, reason = "a block for each is what is measured")]
static LEAKED: Mutex<Vec<Box<[u8; 500]>>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let sizes = [1_000, 10_000, 100_000, 1_000_000];
    let case = |name: String, body: fn(usize), size: usize| {
        let body = move |_cx: &Context| -> Result<(), Failed> {
            body(size);
            LEAKED.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new([1; 500]));
            Ok(())
        };
        Case::new(name, body).rounds(ROUNDS).package(env!("CARGO_MANIFEST_DIR"))
    };
    Suite::new("bench-held")
        .cases(sizes.map(|size| case(format!("vec_{size}"), fill_vec, size)))
        .cases(sizes.map(|size| case(format!("map_{size}"), fill_map, size / 2)))
        .main()
}

fn fill_vec(size: usize) {
    let mut vec = VEC.lock().unwrap_or_else(PoisonError::into_inner);
    if vec.is_empty() {
        vec.extend((0..size).map(|at| Box::new([at as u64; 6])));
    }
}

/// Two blocks an entry.
fn fill_map(size: usize) {
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    map.get_or_insert_with(|| {
        (0..size).map(|at| (format!("key {at}"), Box::new([at as u64; 3]))).collect()
    });
}
