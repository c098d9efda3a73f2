//! How answers look: tables for people, YAML and JSON for programs.

use clap::ValueEnum;
use serde_json::Value as Json;
use tidegate_config::rest::export::yaml;

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns.
    Table,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// A table in the making: columns are as wide as their widest cell, numbers stand right.
#[derive(Debug, Default)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Lines, each with its end, each behind `indent`.
    pub(super) fn text(&self, indent: &str) -> String {
        let width = |text: &str| text.chars().count();
        let column = |index: usize| self.rows.iter().filter_map(move |row| row.get(index));
        let widths: Vec<usize> = self
            .head
            .iter()
            .enumerate()
            .map(|(index, head)| {
                column(index).map(|cell| width(cell)).chain([width(head)]).max().unwrap_or(0)
            })
            .collect();
        let is_number = |cell: &String| cell == "-" || cell.parse::<f64>().is_ok();
        let right: Vec<bool> = (0..self.head.len())
            .map(|index| {
                column(index).next().is_some()
                    && column(index).all(is_number)
                    && column(index).any(|cell| cell != "-")
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = indent.to_owned();
            for ((cell, widest), right) in cells.zip(&widths).zip(&right) {
                let gap = " ".repeat(widest.saturating_sub(width(cell)));
                if *right {
                    text.push_str(&gap);
                }
                text.push_str(cell);
                if !*right {
                    text.push_str(&gap);
                }
                text.push_str("  ");
            }
            text.truncate(text.trim_end().len());
            text + "\n"
        };
        let mut text = line(&mut self.head.iter().copied());
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text
    }
}

/// A value as a cell: text as it is, everything else as JSON; nothing as a dash. On one line.
pub(super) fn cell(value: &Json) -> String {
    let text = match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) if items.iter().all(Json::is_string) => {
            items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
        }
        _ => value.to_string(),
    };
    plain(&text)
}

/// Text that cannot move the cursor or colour the screen.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// YAML or JSON.
pub(super) fn document(value: &Json, format: Format) -> String {
    match format {
        Format::Yaml | Format::Table => yaml(value),
        Format::Json => format!("{value:#}\n"),
    }
}

/// Names of the children of a directory or collection, those with children of their own with a slash.
pub(super) fn children(value: &Json) -> Option<Vec<String>> {
    let children = value.get("children")?.as_array()?;
    let name = |child: &Json| {
        let name = child["name"].as_str()?;
        let slash = if child["href"].as_str()?.ends_with('/') { "/" } else { "" };
        Some(format!("{name}{slash}"))
    };
    children.iter().map(name).collect()
}

/// Every value of nested mappings, one row each: its path and itself.
pub(super) fn flat(value: &Json) -> Table {
    fn walk(path: &str, value: &Json, table: &mut Table) {
        match value {
            Json::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(&path, value, table);
                }
            }
            Json::Array(items) if items.iter().any(Json::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    walk(&format!("{path}[{index}]"), item, table);
                }
            }
            _ => table.row(vec![plain(path), cell(value)]),
        }
    }
    let mut table = Table::new(&["KEY", "VALUE"]);
    walk("", value, &mut table);
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be_and_numbers_stand_right() {
        let mut table = Table::new(&["NODE", "N", "WHY"]);
        table.row(vec!["a".to_owned(), "5".to_owned(), "x".to_owned()]);
        table.row(vec!["ünï".to_owned(), "1000".to_owned(), String::new()]);
        table.row(vec!["b".to_owned(), "-".to_owned(), "y z".to_owned()]);
        let expected = "  NODE     N  WHY\n  a        5  x\n  ünï   1000\n  b        -  y z\n";
        assert_eq!(table.text("  "), expected);
        assert_eq!(Table::new(&["A", "B"]).text(""), "A  B\n");
    }

    #[test]
    fn cells_are_one_line_of_plain_text() {
        for (value, expected) in [
            (json!("a\n\u{1b}[31mb"), "a  [31mb"),
            (json!(null), "-"),
            (json!(5), "5"),
            (json!(["a", "b"]), "a, b"),
            (json!([]), ""),
            (json!([1]), "[1]"),
        ] {
            assert_eq!(cell(&value), expected);
        }
    }

    #[test]
    fn children_and_flat_values() {
        let listed = json!({ "children": [{ "name": "a", "href": "/a/" }, { "name": "b", "href": "/b" }] });
        assert_eq!(children(&listed).unwrap(), ["a/", "b"]);
        assert_eq!(children(&json!({ "properties": {} })), None);
        let flat = flat(&json!({ "basic": { "t": [{ "node": "x" }], "l": [], "n": 1 } })).text("");
        assert_eq!(flat, "KEY              VALUE\nbasic.l\nbasic.n          1\nbasic.t[0].node  x\n");
    }

    #[test]
    fn documents() {
        let value = json!({ "b": 1, "a": ["x"] });
        assert_eq!(document(&value, Format::Yaml), "a: [ x ]\nb: 1\n");
        assert_eq!(document(&value, Format::Json), "{\n  \"a\": [\n    \"x\"\n  ],\n  \"b\": 1\n}\n");
    }
}
