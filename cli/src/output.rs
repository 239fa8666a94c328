//! What commands print: tables for people, JSON for programs, ids for shells.

pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod wire;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::SystemTime;

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use serde_json::Value;

use table::Surface;
pub(crate) use table::{Cell, Column};
use wire::Page;

use crate::failure::{Exit, Failure, Result};

/// Lists and cards are made for terminals of this many columns or more.
const MIN_WIDTH: u16 = 30;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; times are relative. Lists have tabs between values where stdout is no terminal.
    #[default]
    Table,
    /// One indented document with the field names of the contract.
    Json,
    /// One object a line, as they come.
    Jsonl,
    /// Only the ids, one a line.
    Id,
}

/// When output has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The moment that ages are counted from.
pub(crate) type Now = SystemTime;

/// What can be printed in every format.
pub(crate) trait Show {
    /// Columns of a list of these.
    const COLUMNS: &'static [Column];

    /// Its id.
    fn id(&self) -> String;

    /// What is serialized to JSON.
    fn wire(&self) -> impl Serialize;

    /// A row of a list, a cell for each column.
    fn row(&self, now: Now) -> Vec<Cell>;

    /// The lines that show one alone.
    fn card(&self, now: Now) -> Vec<(&'static str, Cell)>;
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    surface: Surface,
    quiet: bool,
}

impl Output {
    /// Writes to stdout, and notes to stderr unless `quiet`.
    pub(crate) fn new(format: Format, colour: Colour, quiet: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let wanted = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let width = terminal.then(|| comfy_table::Table::new().width()).flatten();
        // A terminal that does not know its width says 0; below the least a value would be one letter wide.
        let width = width.filter(|width| *width > 0).map(|width| width.max(MIN_WIDTH));
        Self {
            format,
            surface: Surface { width, colour: wanted },
            quiet,
        }
    }

    /// How results are written.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// One thing.
    pub(crate) fn item<T: Show>(&self, item: &T) -> Result<()> {
        match self.format {
            Format::Table => self.print(&table::card(item.card(SystemTime::now()), self.surface)),
            Format::Json => self.print(&pretty(&item.wire())?),
            Format::Jsonl => self.print(&compact(&item.wire())?),
            Format::Id => self.print(&(text::line(&item.id()) + "\n")),
        }
    }

    /// A list, or a page of one. `field` is the name of the items in JSON.
    pub(crate) fn list<T: Show>(&self, field: &str, items: &[T], next_page_token: &str) -> Result<()> {
        self.list_with(field, items, next_page_token, Vec::new())
    }

    /// A list with more fields in JSON.
    pub(crate) fn list_with<T: Show>(
        &self,
        field: &str,
        items: &[T],
        next_page_token: &str,
        more: Vec<(&str, Value)>,
    ) -> Result<()> {
        match self.format {
            Format::Table if items.is_empty() => self.note("nothing there"),
            Format::Table => {
                let now = SystemTime::now();
                let rows = items.iter().map(|item| item.row(now)).collect();
                self.print(&table::list(T::COLUMNS, rows, self.surface))
            }
            Format::Json => {
                let items = items.iter().map(Show::wire).collect();
                self.print(&pretty(&Page {
                    field,
                    items,
                    more,
                    next_page_token,
                })?)
            }
            Format::Jsonl | Format::Id => items.iter().try_for_each(|item| self.item(item)),
        }
    }

    /// Text as it is, for tables of one line that come one by one.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        Ok(())
    }

    /// A line for people that is no result: nothing in the formats for programs.
    pub(crate) fn note(&self, text: &str) -> Result<()> {
        if self.format == Format::Table && !self.quiet {
            remark(text);
        }
        Ok(())
    }

    /// A line about a danger: in every format, and dropped by `quiet` alone.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            remark(text);
        }
    }

    /// Faint text, where there are colours.
    pub(crate) fn dim(&self, text: &str) -> String {
        if self.surface.colour {
            format!("\x1b[2m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Bold text, where there are colours.
    pub(crate) fn strong(&self, text: &str) -> String {
        if self.surface.colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Progress is shown: somebody looks at stderr, and wants to.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// A line on stderr, which may hold text of others.
fn remark(text: &str) {
    // Nobody is served by an error because a remark could not be made.
    let _ = writeln!(io::stderr().lock(), "{}", text::line(text));
}

/// The outcome of a command that is no message of the contract: names and values, in their order.
#[derive(Debug)]
pub(crate) struct Facts {
    id: String,
    facts: Vec<Fact>,
}

/// What programs read, and what people do.
#[derive(Debug)]
struct Fact {
    name: &'static str,
    value: Value,
    label: &'static str,
    cell: Cell,
}

impl Facts {
    /// With `id` as what `-o id` prints.
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            facts: Vec::new(),
        }
    }

    /// Adds one, whose name says the same to programs and people.
    pub(crate) fn with(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.labelled(name, name, value)
    }

    /// Adds one, with the name for programs, in snake case, and the label for people.
    pub(crate) fn labelled(self, name: &'static str, label: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let cell = plain(&value);
        self.shown(name, value, label, cell)
    }

    /// Adds one that people get in words of their own.
    pub(crate) fn shown(
        mut self,
        name: &'static str,
        value: impl Into<Value>,
        label: &'static str,
        cell: Cell,
    ) -> Self {
        let value = value.into();
        self.facts.push(Fact {
            name,
            value,
            label,
            cell,
        });
        self
    }
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.facts.iter().map(|fact| (fact.name, &fact.value)))
    }
}

impl Show for Facts {
    const COLUMNS: &'static [Column] = &[Column::fixed("ID")];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn wire(&self) -> impl Serialize {
        self
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![Cell::plain(&self.id)]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        self.facts.iter().map(|fact| (fact.label, fact.cell.clone())).collect()
    }
}

fn plain(value: &Value) -> Cell {
    match value {
        Value::String(text) => Cell::plain(text),
        Value::Bool(value) => Cell::yes_no(*value),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Cell::plain(number.to_string()), Cell::number),
        Value::Null => Cell::dim("-"),
        other => Cell::plain(other.to_string()),
    }
}

/// A document with indentation.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String> {
    finish(serde_json::to_string_pretty(value))
}

/// A document on one line.
pub(crate) fn compact(value: &impl Serialize) -> Result<String> {
    finish(serde_json::to_string(value))
}

/// JSON escapes the controls of ASCII but DEL, and none of the second range, which some terminals obey just the same. Outside of strings
/// there are none.
fn finish(json: serde_json::Result<String>) -> Result<String> {
    let json = json.map_err(|error| Failure::new(Exit::Internal, format!("cannot write JSON: {error}")))?;
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('\n');
    Ok(text)
}
