//! The files as one tree whose every value knows its place, and the walk over it that gathers faults.
//!
//! A walk never stops at a fault: what cannot be read counts as absent, so that the reader goes on with the default
//! and the operator sees everything that is wrong at once. Rules over several values are only held against values
//! that were read ([`Section::sound`]), so that one mistake is one fault.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::{ConfigFaults, Fault};

/// Longest value that a fault repeats whole, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// One file as read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Where it lies, as named by the operator.
    pub(super) file: PathBuf,
    /// What it holds.
    pub(super) text: String,
}

/// Where a key or value stands. Orders as a reader meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    source: usize,
    line: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A TOML value, free of the text it was read from.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    /// In decimal and within 64 bits, or as written.
    Integer(Result<i64, String>),
    /// As written.
    Float(String),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Node>;

/// A rule that a value breaks.
#[derive(Debug)]
pub(super) struct Broken {
    rule: String,
    secret: bool,
}

impl Broken {
    /// For values that must not be repeated, since they may be a key pasted by mistake.
    pub(super) fn secret(rule: impl Into<String>) -> Self {
        Self { rule: rule.into(), secret: true }
    }
}

impl From<String> for Broken {
    fn from(rule: String) -> Self {
        Self { rule, secret: false }
    }
}

impl From<&str> for Broken {
    fn from(rule: &str) -> Self {
        Self::from(rule.to_owned())
    }
}

impl Value {
    /// What kind of value it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }

    /// As a fault shows it: on one line, cut short.
    fn shown(&self) -> String {
        let whole = match self {
            Self::String(text) => format!("{text:?}"),
            Self::Integer(Ok(number)) => number.to_string(),
            Self::Integer(Err(text)) | Self::Float(text) | Self::Datetime(text) => text.clone(),
            Self::Boolean(value) => value.to_string(),
            Self::Array(items) => format!("[{} items]", items.len()),
            Self::Table(table) => format!("{{{} keys}}", table.len()),
        };
        match whole.char_indices().nth(SHOWN_CHARACTERS) {
            Some((cut, _)) => format!("{}…", &whole[..cut]),
            None => whole,
        }
    }

    fn from_toml(value: &DeValue<'_>, lines: &Lines<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::String(text.clone().into_owned()),
            DeValue::Integer(number) => Self::Integer(
                i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| number.as_str().to_owned()),
            ),
            DeValue::Float(number) => Self::Float(number.as_str().to_owned()),
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Datetime(date) => Self::Datetime(date.to_string()),
            DeValue::Array(items) => Self::Array(
                items
                    .iter()
                    .map(|item| Node {
                        value: Self::from_toml(item.get_ref(), lines),
                        place: lines.place(item.span().start),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Self::Table(table_from_toml(table, lines)),
        }
    }
}

fn table_from_toml(table: &DeTable<'_>, lines: &Lines<'_>) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let node = Node {
                value: Value::from_toml(value.get_ref(), lines),
                place: lines.place(key.span().start),
            };
            (key.get_ref().clone().into_owned(), node)
        })
        .collect()
}

/// Byte offsets to lines of one source.
struct Lines<'a> {
    source: usize,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: usize, text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, text, starts }
    }

    fn place(&self, offset: usize) -> Place {
        // An error at the end of the text is one of the last line that has any.
        let offset = offset.min(self.text.trim_end().len());
        Place { source: self.source, line: self.starts.partition_point(|start| *start <= offset) }
    }
}

/// Lays `over` upon `base`: tables are joined, every other value takes the place of the one below.
fn lay_over(base: &mut Table, over: Table) {
    for (key, node) in over {
        match (base.get_mut(&key), node) {
            (Some(Node { value: Value::Table(below), .. }), Node { value: Value::Table(above), .. }) => {
                lay_over(below, above);
            }
            (_, node) => {
                base.insert(key, node);
            }
        }
    }
}

/// The tree of all sources, and the faults found on the way.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    sources: &'a [Source],
    root: Table,
    faults: RefCell<Vec<(Place, Fault)>>,
    warnings: RefCell<Vec<(Place, Fault)>>,
    /// Places where the syntax is broken already: what is recovered there is not the operator's intent.
    unparsed: BTreeSet<Place>,
}

impl<'a> Walk<'a> {
    /// Parses the sources and lays each over the ones before it.
    pub(super) fn new(sources: &'a [Source]) -> Self {
        let mut walk = Self {
            sources,
            root: Table::new(),
            faults: RefCell::default(),
            warnings: RefCell::default(),
            unparsed: BTreeSet::new(),
        };
        for (index, source) in sources.iter().enumerate() {
            let lines = Lines::new(index, &source.text);
            let (table, errors) = DeTable::parse_recoverable(&source.text);
            for error in errors {
                let place = lines.place(error.span().map_or(0, |span| span.start));
                if walk.unparsed.insert(place) {
                    walk.add(place, String::new(), None, format!("not TOML: {}", error.message()));
                }
            }
            lay_over(&mut walk.root, table_from_toml(table.get_ref(), &lines));
        }
        walk
    }

    /// The top of the tree.
    pub(super) fn top(&'a self) -> Section<'a> {
        Section {
            walk: self,
            path: String::new(),
            place: Place { source: 0, line: 1 },
            table: Some(&self.root),
            known: Vec::new(),
            unsound: Vec::new(),
        }
    }

    /// Every fault found, if there are any.
    pub(super) fn faults(&self) -> Result<(), ConfigFaults> {
        let mut faults = self.faults.borrow().clone();
        faults.retain(|(place, fault)| fault.key.is_empty() || !self.unparsed.contains(place));
        faults.sort_by_key(|(place, _)| *place);
        match faults.is_empty() {
            true => Ok(()),
            false => Err(ConfigFaults { faults: faults.into_iter().map(|(_, fault)| fault).collect() }),
        }
    }

    /// What is to be warned of, in the order of files and lines.
    pub(super) fn warnings(&self) -> Vec<Fault> {
        let mut warnings = self.warnings.borrow().clone();
        warnings.sort_by_key(|(place, _)| *place);
        warnings.into_iter().map(|(_, warning)| warning).collect()
    }

    fn add(&self, place: Place, key: String, value: Option<String>, rule: String) {
        self.faults.borrow_mut().push((place, self.told(place, key, value, rule)));
    }

    fn told(&self, place: Place, key: String, value: Option<String>, rule: String) -> Fault {
        let file = self.sources.get(place.source).map(|source| source.file.clone()).unwrap_or_default();
        Fault { file, line: Some(place.line), key, value, rule }
    }

    fn folder(&self, place: Place) -> &Path {
        self.sources.get(place.source).and_then(|source| source.file.parent()).unwrap_or(Path::new(""))
    }
}

/// One table of the tree. Each key that is asked for counts as known; [`Self::finish`] faults the others.
#[derive(Debug)]
pub(super) struct Section<'w> {
    walk: &'w Walk<'w>,
    path: String,
    place: Place,
    table: Option<&'w Table>,
    known: Vec<&'static str>,
    unsound: Vec<&'static str>,
}

impl<'w> Section<'w> {
    /// The value of `key` where it is there and `read` takes it.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Broken>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read(&node.value).map_err(|broken| self.break_at(key, node, &self.at(key), broken)).ok()
    }

    /// Like [`Self::get`], with a fault where the key is not there.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Result<T, Broken>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            self.unsound.push(key);
            self.walk.add(self.place, self.at(key), None, format!("missing: {wanted}"));
        }
        self.get(key, read)
    }

    /// A list whose every item `read` takes; within `count` items. Each faulty item is a fault of its own.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
        item_kind: &str,
        read: impl Fn(&Value) -> Result<T, Broken>,
    ) -> Option<Vec<T>> {
        let items = self.items(key, count, item_kind)?;
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match read(&item.value) {
                Ok(value) => read_items.push(value),
                Err(broken) => self.break_at(key, item, &format!("{}[{index}]", self.at(key)), broken),
            }
        }
        Some(read_items)
    }

    /// A list of tables, within `count`.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
        item_kind: &str,
    ) -> Option<Vec<Section<'w>>> {
        let items = self.items(key, count, item_kind)?;
        let at = self.at(key);
        Some(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| self.below(format!("{at}[{index}]"), item))
                .collect(),
        )
    }

    /// The table `key`; an empty one where it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'w> {
        match self.node(key) {
            Some(node) => self.below(self.at(key), node),
            None => Section {
                walk: self.walk,
                path: self.at(key),
                place: self.place,
                table: None,
                known: Vec::new(),
                unsound: Vec::new(),
            },
        }
    }

    /// The tables below the table `key`, by the names that the operator gave them.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'w>)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let at = self.at(key);
        let Some(table) = self.below(at.clone(), node).table else { return Vec::new() };
        table
            .iter()
            .map(|(name, node)| {
                // A name with a dot or a quote is refused by its reader; here it must only stay readable.
                let shown = if is_bare(name) { name.clone() } else { format!("{name:?}") };
                (name.clone(), self.below(format!("{at}.{shown}"), node))
            })
            .collect()
    }

    /// A path, taken relative to the folder of the file it stands in.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.get(key, |value| match value {
            Value::String(text) if text.is_empty() || text.contains('\0') => Err("is no path".into()),
            Value::String(text) => Ok(PathBuf::from(text)),
            other => Err(format!("is {}, not a path in quotes", other.kind()).into()),
        })?;
        let place = self.table.and_then(|table| table.get(key)).map_or(self.place, |node| node.place);
        Some(self.walk.folder(place).join(text))
    }

    /// Whether there is a value for `key`, readable or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether the section is a table at all; where it is not, that is faulted already.
    pub(super) fn is_table(&self) -> bool {
        self.table.is_some()
    }

    /// Whether `key` is a list, for keys that may be a name or a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        matches!(self.table.and_then(|table| table.get(key)), Some(Node { value: Value::Array(_), .. }))
    }

    /// Whether none of `keys` was faulted, so that rules over them may be held against their values.
    pub(super) fn sound(&self, keys: &[&str]) -> bool {
        !self.unsound.iter().any(|key| keys.contains(key))
    }

    /// Faults `key` for a rule that its reader could not know: at its line, or at the section's where it is absent.
    pub(super) fn fault(&mut self, key: &'static str, rule: impl Into<Broken>) {
        match self.table.and_then(|table| table.get(key)) {
            Some(node) => self.break_at(key, node, &self.at(key), rule.into()),
            None => {
                self.unsound.push(key);
                self.walk.add(self.place, self.at(key), None, rule.into().rule);
            }
        }
    }

    /// Warns of `key`, whose value is then as good as absent; nothing is refused for it.
    pub(super) fn warn(&self, key: &'static str, rule: impl Into<String>) {
        let node = self.table.and_then(|table| table.get(key));
        let place = node.map_or(self.place, |node| node.place);
        let warning = self.walk.told(place, self.at(key), node.map(|node| node.value.shown()), rule.into());
        self.walk.warnings.borrow_mut().push((place, warning));
    }

    /// Faults item `index` of the list `key`.
    pub(super) fn fault_item(&mut self, key: &'static str, index: usize, rule: impl Into<Broken>) {
        match self.table.and_then(|table| table.get(key)) {
            Some(Node { value: Value::Array(items), .. }) if index < items.len() => {
                self.break_at(key, &items[index], &format!("{}[{index}]", self.at(key)), rule.into());
            }
            _ => self.fault(key, rule),
        }
    }

    /// Faults the section itself.
    pub(super) fn fault_whole(&self, rule: impl Into<String>) {
        self.walk.add(self.place, self.path.clone(), None, rule.into());
    }

    /// Faults every key that nobody asked for.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, node) in table.iter().filter(|(key, _)| !self.known.contains(&key.as_str())) {
            let shown = if is_bare(key) { key.clone() } else { format!("{key:?}") };
            let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
            let nearest = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(key, known), known))
                .min()
                .filter(|(distance, known)| *distance <= 2.max(known.len() / 3));
            let meant = nearest.map_or(String::new(), |(_, known)| format!(" did you mean \"{known}\"?"));
            // The value is not repeated: a misspelt `keys` may hold a secret.
            let rule = format!("unknown key;{meant} known here: {}", self.known.join(", "));
            self.walk.add(node.place, path, None, rule);
        }
    }

    fn node(&mut self, key: &'static str) -> Option<&'w Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.and_then(|table| table.get(key))
    }

    fn items(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
        item_kind: &str,
    ) -> Option<&'w [Node]> {
        let node = self.node(key)?;
        let rule = match &node.value {
            Value::Array(items) if count.contains(&items.len()) => return Some(items),
            Value::Array(items) => {
                format!("has {} items, allowed are {} to {}", items.len(), count.start(), count.end())
            }
            // Not repeated: it may be a key where a list of hashes should be.
            other => {
                let rule = format!("is {}, not a list of {item_kind}", other.kind());
                self.break_at(key, node, &self.at(key), Broken::secret(rule));
                return None;
            }
        };
        self.break_at(key, node, &self.at(key), rule.into());
        None
    }

    fn below(&self, path: String, node: &'w Node) -> Section<'w> {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            other => {
                let rule = format!("is {}, not a table", other.kind());
                self.walk.add(node.place, path.clone(), Some(other.shown()), rule);
                None
            }
        };
        Section { walk: self.walk, path, place: node.place, table, known: Vec::new(), unsound: Vec::new() }
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn break_at(&mut self, key: &'static str, node: &Node, path: &str, broken: Broken) {
        self.unsound.push(key);
        let value = (!broken.secret).then(|| node.value.shown());
        self.walk.add(node.place, path.to_owned(), value, broken.rule);
    }
}

/// Whether TOML lets a key stand without quotes (TOML 1.0, "Keys").
fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
