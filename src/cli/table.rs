//! Tables for people: columns under quiet headings, without a grid, within the terminal's width.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};

use super::output::{Paint, printable};

/// A table with these headings; those that begin with `>` stand over numbers.
pub(super) fn table(headings: &[&str], paint: Paint) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if paint.is_on() {
        table.enforce_styling();
    }
    let cells = headings.iter().map(|heading| {
        let cell = Cell::new(heading.trim_start_matches('>'));
        if paint.is_on() {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    });
    table.set_header(cells.collect::<Vec<_>>());
    for (at, heading) in headings.iter().enumerate() {
        let Some(column) = table.column_mut(at) else {
            continue;
        };
        // No space before the first column, two between columns.
        column.set_padding((0, 2));
        if heading.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Names and their values, the values under each other.
pub(super) fn fields<'f>(rows: impl IntoIterator<Item = (&'f str, String)>, paint: Paint) -> Table {
    let mut fields = Table::new();
    fields
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if paint.is_on() {
        fields.enforce_styling();
    }
    for (name, value) in rows {
        let name = Cell::new(name);
        let name = if paint.is_on() {
            name.add_attribute(Attribute::Dim)
        } else {
            name
        };
        fields.add_row([name, cell(&value)]);
    }
    if let Some(column) = fields.column_mut(0) {
        column.set_padding((0, 2));
    }
    if let Some(column) = fields.column_mut(1) {
        column.set_padding((0, 0));
    }
    fields
}

/// A cell of text that comes from anybody.
pub(super) fn cell(text: &str) -> Cell {
    Cell::new(printable(text))
}

/// The table's lines, without blanks at their ends.
pub(super) fn lines(table: &Table) -> Vec<String> {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}
