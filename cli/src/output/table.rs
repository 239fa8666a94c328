//! Tables and cards: columns that fit the terminal, colours where there is one.

use comfy_table::{
    Attribute, Cell as TableCell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};
use social_sdk::Timestamp;

use super::{Now, text};

/// Lines that a row takes at the most; what does not fit ends in `…`.
const ROW_LINES: usize = 3;

/// Width of a column of handles at the most, its padding included, so that texts get room on a terminal.
const NAME_WIDTH: u16 = 24;

/// Width that a column of texts must have left, its padding included; where there is less, a list becomes records.
const LEAST_TEXT: usize = 14;

/// Space behind a column.
const PADDING: u16 = 2;

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    /// What a record calls it, where there is room for more than in a header.
    long: Option<&'static str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As wide as its content: ids, handles, ages.
    Fixed,
    /// As wide as its content up to [`NAME_WIDTH`]; longer ones wrap.
    Name,
    /// As wide as its content, to the right.
    Number,
    /// Takes what is left, and wraps.
    Text,
}

impl Column {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, long: None, kind }
    }

    /// A column as wide as its content.
    pub(crate) const fn fixed(name: &'static str) -> Self {
        Self::new(name, Kind::Fixed)
    }

    /// A column of handles: as wide as its content, within reason.
    pub(crate) const fn name(name: &'static str) -> Self {
        Self::new(name, Kind::Name)
    }

    /// With another name in records.
    pub(crate) const fn or(mut self, long: &'static str) -> Self {
        self.long = Some(long);
        self
    }

    /// A column of numbers.
    pub(crate) const fn number(name: &'static str) -> Self {
        Self::new(name, Kind::Number)
    }

    /// A column that takes what is left, and wraps.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text)
    }
}

/// How a cell is coloured, where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As the terminal writes.
    Plain,
    /// Less important: ids, ages.
    Dim,
    /// More important: who, names.
    Strong,
}

/// What stands in one place of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Plain,
        }
    }

    /// What is less important.
    pub(crate) fn dim(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Dim,
        }
    }

    /// What is more important.
    pub(crate) fn strong(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Strong,
        }
    }

    /// `yes` or `no`.
    pub(crate) fn yes_no(value: bool) -> Self {
        if value { Self::plain("yes") } else { Self::dim("no") }
    }

    /// How long ago a moment was; nothing for one that never came.
    pub(crate) fn age(now: Now, time: Option<Timestamp>) -> Self {
        Self::dim(time.map(|time| text::age(now, time.seconds)).unwrap_or_default())
    }

    /// A number with separators.
    pub(crate) fn number(value: impl Into<i64>) -> Self {
        Self::plain(text::number(value))
    }
}

/// Where a table is written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surface {
    /// Columns of the terminal; None where lines may have any length.
    pub(crate) width: Option<u16>,
    /// Escape sequences are understood and wanted.
    pub(crate) colour: bool,
}

/// A list. On a terminal it is a table with a header, or where that does not fit a record for each row; elsewhere it is lines of values
/// with tabs between them, so that a long text widens no other line and `cut` finds its columns.
pub(crate) fn list(columns: &[Column], rows: Vec<Vec<Cell>>, surface: Surface) -> String {
    match surface.width {
        None => lines(columns, rows, surface),
        Some(width) if needed(columns, &rows) > usize::from(width) => records(columns, rows, surface),
        Some(_) => table(columns, rows, surface),
    }
}

fn lines(columns: &[Column], rows: Vec<Vec<Cell>>, surface: Surface) -> String {
    let header = columns.iter().map(|column| Cell::strong(column.name)).collect();
    let line = |row: Vec<Cell>| {
        let cells: Vec<_> = row.iter().map(|cell| painted(cell, surface)).collect();
        cells.join("\t") + "\n"
    };
    std::iter::once(header).chain(rows).map(line).collect()
}

fn painted(cell: &Cell, surface: Surface) -> String {
    let text = text::line(&cell.text);
    match cell.tone {
        _ if !surface.colour => text,
        Tone::Plain => text,
        Tone::Dim => format!("\x1b[2m{text}\x1b[0m"),
        Tone::Strong => format!("\x1b[1m{text}\x1b[0m"),
    }
}

/// Columns of a terminal that a table needs to be readable. What is not text is narrow, and ASCII all but always.
fn needed(columns: &[Column], rows: &[Vec<Cell>]) -> usize {
    let width = |(index, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default();
        let content = widest.max(column.name.len()) + usize::from(PADDING);
        match column.kind {
            Kind::Fixed | Kind::Number => content,
            Kind::Name => content.min(NAME_WIDTH.into()),
            Kind::Text => content.min(LEAST_TEXT),
        }
    };
    let all: usize = columns.iter().enumerate().map(width).sum();
    all.saturating_sub(PADDING.into())
}

/// A block of labels and values for each row, with a line between two.
fn records(columns: &[Column], rows: Vec<Vec<Cell>>, surface: Surface) -> String {
    let record = |row: Vec<Cell>| {
        let labels = columns
            .iter()
            .map(|column| column.long.unwrap_or(column.name).to_lowercase());
        let lines = labels.zip(row).filter(|(_, cell)| !cell.text.is_empty());
        let lines = lines.map(|(label, cell)| {
            let text = text::line(&cell.text);
            (label, Cell { text, ..cell })
        });
        block(lines, surface, Some(ROW_LINES))
    };
    rows.into_iter().map(record).collect::<Vec<_>>().join("\n")
}

fn table(columns: &[Column], rows: Vec<Vec<Cell>>, surface: Surface) -> String {
    let mut table = empty(surface);
    table.set_header(columns.iter().map(|column| {
        let cell = TableCell::new(column.name);
        if surface.colour {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }));
    for row in rows {
        let mut row = Row::from(
            row.into_iter()
                .map(|cell| render(&text::line(&cell.text), cell.tone, surface))
                .collect::<Vec<_>>(),
        );
        row.max_height(ROW_LINES);
        table.add_row(row);
    }
    for (index, column) in columns.iter().enumerate() {
        arrange(&mut table, index, column.kind);
    }
    finish(&table)
}

/// One thing: a line for each label.
pub(crate) fn card(lines: Vec<(&str, Cell)>, surface: Surface) -> String {
    block(lines, surface, None)
}

fn block(
    lines: impl IntoIterator<Item = (impl AsRef<str>, Cell)>,
    surface: Surface,
    value_lines: Option<usize>,
) -> String {
    let mut table = empty(surface);
    for (label, cell) in lines {
        let cell = if cell.text.is_empty() { Cell::dim("-") } else { cell };
        let label = render(label.as_ref(), Tone::Dim, surface);
        let mut row = Row::from(vec![label, render(&text::block(&cell.text), cell.tone, surface)]);
        if let Some(lines) = value_lines {
            row.max_height(lines);
        }
        table.add_row(row);
    }
    arrange(&mut table, 0, Kind::Fixed);
    arrange(&mut table, 1, Kind::Text);
    finish(&table)
}

fn empty(surface: Surface) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .force_no_tty()
        .set_truncation_indicator("…");
    if let Some(width) = surface.width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    if surface.colour {
        table.enforce_styling();
    }
    table
}

fn render(text: &str, tone: Tone, surface: Surface) -> TableCell {
    let cell = TableCell::new(text);
    match tone {
        _ if !surface.colour => cell,
        Tone::Plain => cell,
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

fn arrange(table: &mut Table, index: usize, kind: Kind) {
    let Some(column) = table.column_mut(index) else { return };
    column.set_padding((0, PADDING));
    match kind {
        Kind::Text => {}
        Kind::Name => drop(column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(NAME_WIDTH)))),
        Kind::Fixed | Kind::Number => drop(column.set_constraint(ColumnConstraint::ContentWidth)),
    }
    if kind == Kind::Number {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn finish(table: &Table) -> String {
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::fixed("WHO"), Column::text("TEXT"), Column::number("LIKES")];

    fn rows() -> Vec<Vec<Cell>> {
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
        vec![
            vec![Cell::strong("@ada"), Cell::plain("hello\nworld"), Cell::number(5)],
            vec![Cell::strong("@bob"), Cell::plain(long), Cell::number(12_345)],
        ]
    }

    const PIPE: Surface = Surface {
        width: None,
        colour: false,
    };

    fn terminal(width: u16) -> Surface {
        Surface {
            width: Some(width),
            colour: false,
        }
    }

    #[test]
    fn a_pipe_gets_a_line_a_row_with_tabs_and_no_padding() {
        let text = list(COLUMNS, rows(), PIPE);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!((lines[0], lines[1]), ("WHO\tTEXT\tLIKES", "@ada\thello world\t5"));
        assert!(
            lines[2].starts_with("@bob\tone two") && lines[2].ends_with(" sixteen\t12,345"),
            "{text}"
        );
        let hostile = vec![vec![Cell::plain("a\tb\nc\x1b[2J")]];
        assert_eq!(list(&[Column::text("T")], hostile, PIPE), "T\na b c\u{fffd}[2J\n");
    }

    #[test]
    fn a_narrow_terminal_wraps_and_cuts() {
        let text = list(COLUMNS, rows(), terminal(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(text.lines().count(), 1 + 1 + ROW_LINES, "{text}");
        assert!(text.contains('…'), "{text}");
    }

    #[test]
    fn a_terminal_too_narrow_for_a_table_gets_records() {
        const MANY: &[Column] = &[
            Column::name("WHO"),
            Column::text("TEXT"),
            Column::number("LIKES"),
            Column::fixed("AGE").or("posted"),
            Column::fixed("ID"),
        ];
        let row = |text: &str| {
            let cells = ["@ada_lovelace", text, "5", "13d ago", "2q3k5v7x9z1aa"];
            cells.map(Cell::plain).to_vec()
        };
        let long = "words that wrap and wrap ".repeat(9);
        let text = list(MANY, vec![row("short"), row(&long)], terminal(40));
        let records: Vec<_> = text.split("\n\n").collect();
        assert_eq!(records.len(), 2, "{text}");
        let first = "who     @ada_lovelace\ntext    short\nlikes   5\nposted  13d ago\nid      2q3k5v7x9z1aa";
        assert_eq!(records[0], first);
        assert!(records[1].contains("words that wrap and wrap words"), "{text}");
        assert_eq!(records[1].lines().count(), 4 + ROW_LINES, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        // The same is a table where there is room.
        assert!(list(MANY, vec![row(&long)], terminal(80)).starts_with("WHO"), "{text}");
    }

    #[test]
    fn colours_only_where_wanted() {
        let text = list(
            COLUMNS,
            rows(),
            Surface {
                width: Some(80),
                colour: true,
            },
        );
        assert!(text.contains("\x1b["), "{text}");
    }

    #[test]
    fn a_card_keeps_line_breaks() {
        let lines = vec![("id", Cell::dim("1")), ("text", Cell::plain("a\nb"))];
        let text = card(
            lines,
            Surface {
                width: None,
                colour: false,
            },
        );
        assert_eq!(text, "id    1\ntext  a\n      b\n");
    }
}
