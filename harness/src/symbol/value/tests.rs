//! The words of statics of this very program.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::AtomicPtr;
use std::sync::{Arc, Mutex, OnceLock};

use super::*;
use crate::symbol::tests::own_modules;

/// A struct with a field of each kind.
#[expect(dead_code, reason = "what is looked at is their types")]
struct Library {
    number: usize,
    shelves: Mutex<Vec<Shelf>>,
    index: HashMap<u32, Arc<Book>>,
    sorted: BTreeMap<u32, Box<Book>>,
    pair: (u8, Box<Book>),
    state: State,
    desk: Desk,
    door: &'static (dyn Fn() + Sync),
    rows: [Option<Box<Book>>; 2],
    names: Box<[String]>,
    raw: AtomicPtr<Book>,
}

#[repr(C)]
struct Shelf {
    label: u64,
    book: Box<Book>,
}

/// More than a word, so that a pointer to it is none to a word.
struct Book {
    _pages: [u64; 4],
}

/// What is in its word depends on the variant.
#[expect(dead_code, reason = "what is looked at is their types")]
enum State {
    Lent(Box<Book>),
    Bound { shelf: Box<Shelf> },
}

/// The same in both of its variants.
#[expect(dead_code, reason = "what is looked at is their types")]
enum Desk {
    Open { book: Box<Book> },
    Empty(u64),
}

static LIBRARY: OnceLock<Library> = OnceLock::new();

fn library() {
    let book = || Box::new(Book { _pages: [1; 4] });
    LIBRARY.get_or_init(|| Library {
        number: 1,
        shelves: Mutex::new(vec![Shelf { label: 1, book: book() }]),
        index: HashMap::from([(1, Arc::new(Book { _pages: [2; 4] }))]),
        sorted: (0..40).map(|number| (number, book())).collect(),
        pair: (1, book()),
        state: State::Lent(book()),
        desk: Desk::Open { book: book() },
        door: &|| (),
        rows: [None, Some(book())],
        names: Box::new(["a".to_owned()]),
        raw: AtomicPtr::default(),
    });
}

/// A static by its address.
fn value_at(symbols: &mut Symbolizer, address: u64) -> Value {
    let modules = own_modules();
    let module = modules.iter().find(|module| module.holds(address)).unwrap();
    let variable = symbols.static_at(module, address).unwrap();
    assert_eq!(variable.distance(module, address), 0);
    symbols.declaration(module, &variable).value.unwrap()
}

/// Its type, in a block of its size.
fn name(symbols: &mut Symbolizer, value: &Value) -> Option<String> {
    let (_, unit) = symbols.unit(value)?;
    symbols.value_name(value, unit.bytes(value.kind)?)
}

/// What each word of a value is said to be: its field, and the type that it points to.
fn words(symbols: &mut Symbolizer, value: &Value, bytes: usize) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for at in (0..bytes).step_by(8) {
        let word = symbols.word(value, at as i64).unwrap_or_default();
        let target = word.target.and_then(|target| name(symbols, &target));
        said.extend(target.map(|target| (word.field.unwrap_or_default(), target)));
    }
    said.sort();
    said
}

#[test]
fn the_words_of_a_struct_are_its_fields() {
    let mut symbols = Symbolizer::new();
    library();
    let value = value_at(&mut symbols, (&raw const LIBRARY) as u64);
    let words = words(&mut symbols, &value, size_of_val(&LIBRARY));
    let said: Vec<(&str, &str)> =
        words.iter().map(|(field, target)| (field.as_str(), target.as_str())).collect();
    let mut expected = [
        (".shelves", "[Shelf]"),
        (".index", "table of (u32, Arc<Book>)"),
        (".sorted", "LeafNode<u32, Box<Book>>"),
        (".pair.1", "Book"),
        (".desk.Open.book", "Book"),
        (".rows", "Book"),
        (".rows", "Book"),
        (".names", "[String]"),
        (".raw", "Book"),
    ];
    expected.sort_unstable();
    // What a word of `state` points to is not known; behind `door` is a table of the compiler's.
    let known: Vec<_> = said.into_iter().filter(|(field, _)| *field != ".door").collect();
    assert_eq!(known, expected);
}

#[test]
fn what_a_pointer_leads_to_can_be_looked_into() {
    let mut symbols = Symbolizer::new();
    library();
    let value = value_at(&mut symbols, (&raw const LIBRARY) as u64);
    let mut target_of = |field: &str| {
        let words = (0..size_of_val(&LIBRARY)).step_by(8);
        let mut words = words.filter_map(|at| symbols.word(&value, at as i64));
        let found =
            words.find(|word| word.field.as_deref() == Some(field) && word.target.is_some());
        found.unwrap().target.unwrap()
    };
    let (shelves, index, sorted) =
        (target_of(".shelves"), target_of(".index"), target_of(".sorted"));
    let leaf_bytes = symbols.unit(&sorted).and_then(|(_, unit)| unit.bytes(sorted.kind)).unwrap();
    let mut said = |value: &Value, distance: i64| {
        let word = symbols.word(value, distance)?;
        let target = word.target.and_then(|target| name(&mut symbols, &target));
        Some((word.field.unwrap_or_default(), target.unwrap_or_default()))
    };
    let book = || Some((".book".to_owned(), "Book".to_owned()));
    assert_eq!(said(&shelves, 8), book());
    assert_eq!(said(&shelves, 8 + 7 * 16), book(), "of the eighth");
    assert_eq!(said(&shelves, 0), Some((".label".to_owned(), String::new())));
    assert_eq!(said(&shelves, -8), None);
    // Of an entry the key is first; nobody of the project has named its parts.
    assert_eq!(said(&index, -8), Some((String::new(), "ArcInner<Book>".to_owned())));
    assert_eq!(said(&index, -16), Some((String::new(), String::new())));
    assert_eq!(said(&index, 0), None);
    // Behind what every node has, one with others below it points to those.
    let below = Some((String::new(), "LeafNode<u32, Box<Book>>".to_owned()));
    assert_eq!(said(&sorted, leaf_bytes as i64), below);
}

#[test]
fn what_a_constructor_has_made_is_its_argument() {
    #[inline(never)]
    fn here() -> Vec<u64> {
        crate::symbol::tests::own_addresses()
    }
    struct Asks(Vec<u64>);
    impl Default for Asks {
        fn default() -> Self {
            Self(here())
        }
    }
    // A constructor calls nobody who could look at the stack, but for this one.
    let made = Rc::<Asks>::new_cyclic(|_| Asks::default());
    let mut symbols = Symbolizer::new();
    let modules = own_modules();
    let mut said = Vec::new();
    for address in &made.0 {
        for nth in 0..symbols.name(&modules, &[*address]).len() {
            said.extend(symbols.constructed(&modules, *address, nth));
        }
    }
    let said: Vec<Option<String>> = said.iter().map(|value| name(&mut symbols, value)).collect();
    assert_eq!(said, [Some("RcInner<Asks>".to_owned())]);
}

#[test]
fn where_a_word_lies_in_one_of_many() {
    for (repeats, distance, within) in [
        (Repeats::Once, 0, Some(0)),
        (Repeats::Once, 16, Some(16)),
        (Repeats::Once, 24, None),
        (Repeats::Once, -8, None),
        (Repeats::Upwards, 56, Some(8)),
        (Repeats::Upwards, -8, None),
        (Repeats::Downwards, 0, None),
        (Repeats::Downwards, -8, Some(16)),
        (Repeats::Downwards, -24, Some(0)),
        (Repeats::Downwards, -32, Some(16)),
    ] {
        assert_eq!(repeats.within(distance, 24), within, "{repeats:?} {distance}");
    }
    assert_eq!(Repeats::Upwards.within(8, 0), None, "nothing is many times nothing");
}

#[test]
fn a_block_is_not_called_what_only_begins_it() {
    let mut symbols = Symbolizer::new();
    library();
    let value = value_at(&mut symbols, (&raw const LIBRARY) as u64);
    let mut words =
        (0..size_of_val(&LIBRARY)).step_by(8).filter_map(|at| symbols.word(&value, at as i64));
    let raw = words.find(|word| word.field.as_deref() == Some(".raw")).unwrap().target.unwrap();
    for (room, said) in [(31, None), (32, Some("Book")), (40, Some("Book")), (64, None), (0, None)]
    {
        assert_eq!(symbols.value_name(&raw, room).as_deref(), said, "{room}");
    }
}

/// Each of its variants may hold the same.
#[expect(dead_code, reason = "what is looked at is their types")]
enum Any<T> {
    First(T),
    Second(T),
    Third(T),
    Fourth(T),
}

#[test]
fn of_too_many_variants_nothing_is_told() {
    type Few = Any<Any<Box<Book>>>;
    type Many = Any<Any<Any<Any<Few>>>>;
    static FEW: Mutex<Option<Few>> = Mutex::new(None);
    static MANY: Mutex<Option<Many>> = Mutex::new(None);
    let mut symbols = Symbolizer::new();
    let mut targets = |address: u64, bytes: usize| {
        let value = value_at(&mut symbols, address);
        words(&mut symbols, &value, bytes).into_iter().map(|(_, target)| target).collect::<Vec<_>>()
    };
    assert_eq!(targets((&raw const FEW) as u64, size_of_val(&FEW)), ["Book"]);
    assert_eq!(targets((&raw const MANY) as u64, size_of_val(&MANY)), [""; 0]);
    drop((FEW.lock().unwrap(), MANY.lock().unwrap()));
}
