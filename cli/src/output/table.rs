//! Tables and cards: columns that fit the terminal, colours where there is one.

use comfy_table::{
    Attribute, Cell as TableCell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};

use super::text;

/// Lines that a row takes at the most; what does not fit ends in `…`.
const ROW_LINES: usize = 3;

/// Width of a column of handles at the most, its padding included, so that texts get room on a terminal.
const NAME_WIDTH: u16 = 24;

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
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
    /// A column as wide as its content.
    pub(crate) const fn fixed(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Fixed,
        }
    }

    /// A column of handles: as wide as its content, within reason.
    pub(crate) const fn name(name: &'static str) -> Self {
        Self { name, kind: Kind::Name }
    }

    /// A column of numbers.
    pub(crate) const fn number(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Number,
        }
    }

    /// A column that takes what is left, and wraps.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text }
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

/// A list with a header.
pub(crate) fn list(columns: &[Column], rows: Vec<Vec<Cell>>, surface: Surface) -> String {
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
    let mut table = empty(surface);
    for (label, cell) in lines {
        let cell = if cell.text.is_empty() { Cell::dim("-") } else { cell };
        let label = render(label, Tone::Dim, surface);
        table.add_row(vec![label, render(&text::block(&cell.text), cell.tone, surface)]);
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
    column.set_padding((0, 2));
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

    #[test]
    fn a_pipe_gets_one_line_a_row_and_no_colour() {
        let text = list(
            COLUMNS,
            rows(),
            Surface {
                width: None,
                colour: false,
            },
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("WHO   TEXT "), "{text}");
        assert!(
            lines[1].starts_with("@ada  hello world ") && lines[1].ends_with("     5"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_narrow_terminal_wraps_and_cuts() {
        let text = list(
            COLUMNS,
            rows(),
            Surface {
                width: Some(40),
                colour: false,
            },
        );
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(text.lines().count(), 1 + 1 + ROW_LINES, "{text}");
        assert!(text.contains('…'), "{text}");
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
