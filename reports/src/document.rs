//! A TOML file that people write, read key by key. Whatever is wrong in it has a place: file, line, column.
//!
//! A key that is asked for is known, and one that nobody asks for is [`Unknown`]. So a key is named once,
//! where it is read, and tables that share keys are read by the same lines. (Derived deserialisation
//! loses the positions of flattened tables.)

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

mod value;

pub use toml::de::DeValue;
pub use value::{Amount, Glob, Value};

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The file is there and cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{place}: this is no TOML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// A value of a wrong type, or one that has no meaning.
    #[error("{place}: `{key}` must be {expected}; it is {found}")]
    Wrong {
        /// Where the value stands.
        place: Place,
        /// Dotted path of its key.
        key: String,
        /// What may stand there.
        expected: String,
        /// What does.
        found: String,
    },
    /// A key that must be there is not.
    #[error("{place}: `{table}` has no `{key}`; add {expected}")]
    Missing {
        /// Where the table begins.
        place: Place,
        /// Dotted path of the table.
        table: String,
        /// The key.
        key: &'static str,
        /// What is to be added.
        expected: String,
    },
}

/// A key that nobody has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Where it stands.
    pub place: Place,
    /// Its dotted path.
    pub key: String,
    /// The keys that are known there.
    pub known: Vec<&'static str>,
}

impl Unknown {
    /// The known key that was probably meant.
    pub fn near(&self) -> Option<&'static str> {
        let written = self.key.rsplit('.').next().unwrap_or_default();
        let distance = |known: &str| strsim::damerau_levenshtein(written, known);
        let nearest = self.known.iter().copied().min_by_key(|known| distance(known))?;
        // A third of the letters may be wrong: more than that is another word.
        (distance(nearest) <= (written.chars().count() / 3).max(1)).then_some(nearest)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` is unknown and has no effect", self.place, self.key)?;
        match self.near() {
            Some(near) => write!(f, "; did you mean `{near}`?"),
            None => write!(f, "; known are {}", self.known.join(", ")),
        }
    }
}

/// Reads the document `text` of `file` by `read`, which is given its outermost table; the unknown keys
/// come in the order in which they stand.
///
/// # Errors
/// The first thing that is wrong.
pub fn read<T>(
    file: &Path,
    text: &str,
    read: impl FnOnce(&mut Table<'_>) -> Result<T, DocumentError>,
) -> Result<(T, Vec<Unknown>), DocumentError> {
    let source = Source { file, text, unknown: RefCell::default() };
    let parsed = DeTable::parse(text).map_err(|error| DocumentError::Syntax {
        place: source.place(error.span().unwrap_or_default().start),
        message: error.message().to_owned(),
    })?;
    let value = read(&mut Table::new(&source, String::new(), 0..0, parsed.get_ref()))?;
    let mut unknown = source.unknown.into_inner();
    unknown.sort_by(|a, b| a.place.cmp(&b.place));
    Ok((value, unknown))
}

/// What all tables of a document share.
struct Source<'t> {
    file: &'t Path,
    text: &'t str,
    unknown: RefCell<Vec<Unknown>>,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count() as u32 + 1,
            column: line.chars().count() as u32 + 1,
        }
    }
}

/// One table. When it is dropped, what nobody has asked for is unknown.
pub struct Table<'t> {
    source: &'t Source<'t>,
    path: String,
    span: Range<usize>,
    keys: &'t DeTable<'t>,
    asked: Vec<&'static str>,
}

impl<'t> Table<'t> {
    fn new(
        source: &'t Source<'t>,
        path: String,
        span: Range<usize>,
        keys: &'t DeTable<'t>,
    ) -> Self {
        Self { source, path, span, keys, asked: Vec::new() }
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.source.place(self.span.start)
    }

    /// The value of `key`, where it is there.
    ///
    /// # Errors
    /// It is something else than a `V`.
    pub fn get<V: Value>(&mut self, key: &'static str) -> Result<Option<V>, DocumentError> {
        let Some(value) = self.ask(key) else { return Ok(None) };
        match V::read(value.get_ref()) {
            Ok(read) => Ok(Some(read)),
            Err(why) => Err(self.wrong(key, value, why.unwrap_or_else(|| V::EXPECTED.to_owned()))),
        }
    }

    /// The value of `key`, which must be there.
    ///
    /// # Errors
    /// It is not, or it is something else than a `V`.
    pub fn require<V: Value>(&mut self, key: &'static str) -> Result<V, DocumentError> {
        self.get(key)?.ok_or_else(|| self.missing(key, V::EXPECTED))
    }

    /// That `key` is missing, which is to hold something like `expected`.
    pub fn missing(&self, key: &'static str, expected: &str) -> DocumentError {
        DocumentError::Missing {
            place: self.place(),
            table: self.path.clone(),
            key,
            expected: expected.to_owned(),
        }
    }

    /// The table under `key`, where it is there.
    ///
    /// # Errors
    /// It is no table.
    pub fn table(&mut self, key: &'static str) -> Result<Option<Table<'t>>, DocumentError> {
        match self.ask(key) {
            Some(value) => self.inner(key, value).map(Some),
            None => Ok(None),
        }
    }

    /// The tables under `[[key]]`.
    ///
    /// # Errors
    /// It is no array of tables.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table<'t>>, DocumentError> {
        let Some(value) = self.ask(key) else { return Ok(Vec::new()) };
        let DeValue::Array(elements) = value.get_ref() else {
            return Err(self.wrong(key, value, format!("an array of tables, as [[{key}]]")));
        };
        let elements = elements.iter().enumerate();
        elements.map(|(index, element)| self.inner(&format!("{key}[{index}]"), element)).collect()
    }

    /// The tables under `[key.NAME]`, whatever their names are.
    ///
    /// # Errors
    /// One of them is no table.
    pub fn named(&mut self, key: &'static str) -> Result<Vec<(String, Table<'t>)>, DocumentError> {
        let Some(outer) = self.table(key)? else { return Ok(Vec::new()) };
        let mut named = Vec::new();
        for (name, value) in outer.keys {
            named.push((name.get_ref().to_string(), outer.inner(name.get_ref(), value)?));
        }
        Ok(named)
    }

    fn ask(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.keys.get(key)
    }

    fn inner(
        &self,
        key: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Result<Table<'t>, DocumentError> {
        match value.get_ref() {
            DeValue::Table(keys) => {
                Ok(Table::new(self.source, self.dotted(key), value.span(), keys))
            }
            _ => Err(self.wrong(key, value, "a table".to_owned())),
        }
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: String) -> DocumentError {
        DocumentError::Wrong {
            place: self.source.place(value.span().start),
            key: self.dotted(key),
            expected,
            found: value::name(value.get_ref()),
        }
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        // Nothing was asked of a table of names, or of one that turned out to be wrong.
        if self.asked.is_empty() {
            return;
        }
        let unasked = self.keys.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref()));
        let unknown = unasked.map(|key| Unknown {
            place: self.source.place(key.span().start),
            key: self.dotted(key.get_ref()),
            known: self.asked.clone(),
        });
        self.source.unknown.borrow_mut().extend(unknown);
    }
}
